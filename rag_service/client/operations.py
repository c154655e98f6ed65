"""Every operation of the API: what it takes, where that goes, and what comes back.

A new one is described here, with its reply in `models`, and named in `Client` and `AsyncClient`;
tests/rag_service/client/test_openapi.py tells which are missing, and what differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from types import MappingProxyType, NoneType
from typing import Any
from uuid import UUID

from rag_service.client.calls import Given, operation
from rag_service.client.models import (
    Answer,
    CollectionList,
    CollectionReply,
    ConversationDetail,
    ConversationList,
    DocumentDetail,
    DocumentList,
    FeedbackReply,
    Health,
    IngestReport,
    JobList,
    Kind,
    MemberList,
    MemberReply,
    Mode,
    Rating,
    RemovedSource,
    ReviewReply,
    Role,
    SearchResult,
    SourceList,
    SourceReply,
    State,
    VerdictList,
    Visibility,
)

Id = str | UUID


class Unsaid(Enum):
    """For what is left as it is, where None says that it goes."""

    UNSAID = "unsaid"


UNSAID = Unsaid.UNSAID
NOTHING: Mapping[str, Any] = MappingProxyType({})


@operation("POST", "/v1/search", SearchResult, repeatable=True)
def search(
    query: str,
    *,
    k: int = 10,
    mode: Mode = "hybrid",
    collection: str | None = None,
    filter: Mapping[str, Any] | None = None,
    diversity: float | None = None,
) -> Given:
    """The k passages nearest to a query, best first."""
    body = {"query": query, "k": k, "mode": mode, "collection": collection, "filter": filter}
    return Given(body={**body, "diversity": diversity})


@operation("POST", "/v1/answers", Answer, repeatable=True)
def ask(
    question: str,
    *,
    k: int = 5,
    collection: str | None = None,
    filter: Mapping[str, Any] | None = None,
    history: Sequence[Mapping[str, str]] = (),
    conversation_id: Id | None = None,
) -> Given:
    """An answer with verified citations; `history` is turns of `role` and `content`, and
    `conversation_id` what the first answer came with."""
    body = {"question": question, "k": k, "collection": collection, "filter": filter}
    known = None if conversation_id is None else str(conversation_id)
    turns = [dict(turn) for turn in history]
    return Given(body={**body, "history": turns, "conversation_id": known})


@operation("GET", "/v1/history", ConversationList)
def history(
    *, conversation_id: Id | None = None, limit: int = 50, after: str | None = None
) -> Given:
    """A page of one's conversations, those that went on last first."""
    return Given(query={"conversation_id": conversation_id, "limit": limit, "after": after})


@operation("GET", "/v1/history/{conversation_id}", ConversationDetail)
def conversation(conversation_id: Id, *, limit: int = 100, after: Id | None = None) -> Given:
    """A page of its answers, oldest first, each with one's feedback."""
    return Given(path={"conversation_id": conversation_id}, query={"limit": limit, "after": after})


@operation("DELETE", "/v1/history/{conversation_id}", NoneType)
def delete_conversation(conversation_id: Id) -> Given:
    """With its answers, and what was said of them."""
    return Given(path={"conversation_id": conversation_id})


@operation("POST", "/v1/feedback", FeedbackReply)
def give_feedback(
    answer_id: Id,
    *,
    rating: Rating | Unsaid | None = UNSAID,
    comment: str | Unsaid | None = UNSAID,
    corrected_answer: str | Unsaid | None = UNSAID,
    harm: str | Unsaid | None = UNSAID,
) -> Given:
    """What is given changes, what is None goes, the rest stays."""
    parts = {
        "rating": rating,
        "comment": comment,
        "corrected_answer": corrected_answer,
        "harm": harm,
    }
    said = {name: part for name, part in parts.items() if part is not UNSAID}
    return Given(body={"answer_id": str(answer_id), **said})


@operation("DELETE", "/v1/feedback/{answer_id}", NoneType)
def remove_feedback(answer_id: Id) -> Given:
    """All that one said of the answer."""
    return Given(path={"answer_id": answer_id})


@operation("GET", "/v1/answers/{answer_id}/verdicts", VerdictList)
def verdicts(answer_id: Id) -> Given:
    """What judges of bias said of an answer, the newest first, each with one's reviews."""
    return Given(path={"answer_id": answer_id})


@operation("POST", "/v1/answers/{answer_id}/reviews", ReviewReply)
def review(
    answer_id: Id,
    *,
    level: int | None = None,
    comment: str | None = None,
    signature: str | None = None,
) -> Given:
    """Contests the newest verdict by a level of one's own, or without one confirms it; `signature`
    names another judge's verdict."""
    body = {"level": level, "comment": comment, "signature": signature}
    return Given(path={"answer_id": answer_id}, body=body)


@operation("GET", "/v1/documents", DocumentList)
def documents(*, collection: str | None = None, limit: int = 100, after: Id | None = None) -> Given:
    """A page of documents, by id."""
    return Given(query={"collection": collection, "limit": limit, "after": after})


@operation("GET", "/v1/documents/{document_id}", DocumentDetail)
def document(document_id: Id) -> Given:
    """A document with its chunks."""
    return Given(path={"document_id": document_id})


@operation("DELETE", "/v1/documents/{document_id}", NoneType)
def delete_document(document_id: Id) -> Given:
    """With its chunks."""
    return Given(path={"document_id": document_id})


@operation("POST", "/v1/documents", IngestReport)
def add_text(
    text: str,
    *,
    source: str,
    title: str | None = None,
    collection: str = "default",
    metadata: Mapping[str, Any] = NOTHING,
) -> Given:
    """A text under a name: the same name again replaces it."""
    body = {"text": text, "source": source, "title": title, "collection": collection}
    return Given(body={**body, "metadata": dict(metadata)})


@operation("POST", "/v1/documents", IngestReport)
def upload(files: Sequence[tuple[str, bytes]], *, collection: str = "default") -> Given:
    """Files, each by its name and content."""
    # A name from a file system may hold what is no character.
    named = [(name.encode("utf-8", "replace").decode(), content) for name, content in files]
    return Given(files=named, form={"collection": collection})


@operation("GET", "/v1/collections", CollectionList)
def collections() -> Given:
    """Those that one may read, by name, and what one may do with each."""
    return Given()


@operation("POST", "/v1/collections", CollectionReply)
def create_collection(name: str, *, visibility: Visibility = "private") -> Given:
    """It is one's own."""
    return Given(body={"name": name, "visibility": visibility})


@operation("PATCH", "/v1/collections/{collection_id}", CollectionReply)
def change_collection(
    collection_id: Id, *, name: str | None = None, visibility: Visibility | None = None
) -> Given:
    """What is None stays."""
    return Given(
        path={"collection_id": collection_id}, body={"name": name, "visibility": visibility}
    )


@operation("DELETE", "/v1/collections/{collection_id}", NoneType)
def delete_collection(collection_id: Id) -> Given:
    """With all its documents."""
    return Given(path={"collection_id": collection_id})


@operation("GET", "/v1/collections/{collection_id}/members", MemberList)
def members(collection_id: Id) -> Given:
    """Who may use it, and as what."""
    return Given(path={"collection_id": collection_id})


@operation("PUT", "/v1/collections/{collection_id}/members/{user_id}", MemberReply)
def set_member(collection_id: Id, user_id: Id, role: Role) -> Given:
    """Let someone in; again changes as what."""
    return Given(path={"collection_id": collection_id, "user_id": user_id}, body={"role": role})


@operation("DELETE", "/v1/collections/{collection_id}/members/{user_id}", NoneType)
def remove_member(collection_id: Id, user_id: Id) -> Given:
    """Let someone in no more."""
    return Given(path={"collection_id": collection_id, "user_id": user_id})


@operation("GET", "/v1/sources", SourceList)
def sources(*, collection: str | None = None, limit: int = 100, after: Id | None = None) -> Given:
    """A page of sources, by id, with how each stands."""
    return Given(query={"collection": collection, "limit": limit, "after": after})


@operation("POST", "/v1/sources", SourceReply)
def add_source(
    kind: Kind,
    settings: Mapping[str, Any],
    *,
    collection: str = "default",
    refresh_every_s: int | None = None,
) -> Given:
    """A worker refreshes it at once, and then every so often."""
    body = {"kind": kind, "settings": dict(settings), "collection": collection}
    return Given(body={**body, "refresh_every_s": refresh_every_s})


@operation("DELETE", "/v1/sources/{source_id}", RemovedSource)
def remove_source(source_id: Id) -> Given:
    """And the documents that it brought."""
    return Given(path={"source_id": source_id})


@operation("POST", "/v1/sources/{source_id}/refresh", NoneType)
def refresh_source(source_id: Id) -> Given:
    """As soon as a worker is free."""
    return Given(path={"source_id": source_id})


@operation("GET", "/v1/jobs", JobList)
def jobs(
    *,
    collection: str | None = None,
    state: State | None = None,
    limit: int = 100,
    after: int = 0,
) -> Given:
    """A page of what workers have to do, by id, and counts of all."""
    return Given(query={"collection": collection, "state": state, "limit": limit, "after": after})


@operation("POST", "/v1/jobs/{job_id}/retry", NoneType)
def retry_job(job_id: int) -> Given:
    """What failed or was given up is tried again now."""
    return Given(path={"job_id": job_id})


@operation("GET", "/healthz", Health, repeatable=False)
def alive() -> Given:
    """Whether the process lives."""
    return Given()


@operation("GET", "/readyz", Health, repeatable=False)
def ready() -> Given:
    """Whether questions can be answered now."""
    return Given()
