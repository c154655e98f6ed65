"""What the UI asks of the service, through its client: every failure is one sentence to show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import streamlit as st
from pydantic import BaseModel

from rag_service.client import (
    CitationsEvent,
    Client,
    ClientError,
    DeltaEvent,
    DoneEvent,
    PassagesEvent,
    ServiceAway,
)
from rag_service.ui.conversation import Scope

Json = dict[str, Any]

# How many documents the page knows by name, and how many one request lists.
KNOWN_DOCUMENTS = 1_000
LISTED_AT_ONCE = 500
LISTED_JOBS = 20
LISTED_CONVERSATIONS = 20
# Answers of one conversation that are shown again.
SHOWN_ANSWERS = 1_000
# Chunks shown before and after an opened passage.
AROUND = 2
FRESH_FOR_S = 15


class ServiceError(Exception):
    """What went wrong, as one sentence for the reader. `away`: nothing answers at the address."""

    def __init__(self, message: str, *, away: bool = False) -> None:
        super().__init__(message)
        self.away = away


class File(Protocol):
    name: str

    def getvalue(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Overview:
    """What is stored. `more` says that there are more documents than the ones listed; `writable`
    are the collections that one may change."""

    collections: tuple[str, ...]
    documents: tuple[Json, ...]
    more: bool = False
    writable: tuple[str, ...] = ()

    @property
    def metadata_keys(self) -> list[str]:
        return sorted({key for one in self.documents for key in one["metadata"]})


@dataclass(frozen=True, slots=True)
class Updates:
    """Documents that wait to be indexed and those under way; refreshes; the first of those jobs
    that were given up, and how many these are."""

    waiting: int
    running: int
    refreshing: tuple[Json, ...]
    dead: tuple[Json, ...]
    dead_count: int

    @property
    def busy(self) -> bool:
        return bool(self.waiting or self.running or self.refreshing)


@st.cache_resource(show_spinner=False)
def connect(api_url: str) -> Client:
    """One client for all sessions, as anybody: it holds a pool of connections and nothing else."""
    return Client(api_url, retries=0)  # the page says at once what is wrong, and offers to retry


def overview(client: Client) -> Overview:
    """Raises ServiceError."""
    found, more = documents(client, None)
    try:
        details = _collections(client.base_url, client.token)
        writable = {one["name"] for one in details if one["role"] != "reader"}
        names = sorted({one["name"] for one in details})
        return Overview(tuple(names), tuple(found), more, tuple(sorted(writable)))
    except ClientError as error:
        raise _said(error) from error


def documents(client: Client, collection: str | None) -> tuple[list[Json], bool]:
    """The first documents, and whether there are more. Raises ServiceError."""
    try:
        return _documents(client.base_url, client.token, collection)
    except ClientError as error:
        raise _said(error) from error


# All sessions share what is cached, so that the token must be among what it is found by.
@st.cache_data(ttl=FRESH_FOR_S, show_spinner=False)
def _collections(api_url: str, token: str | None) -> list[Json]:
    return _plain(connect(api_url).with_token(token).collections().details)


@st.cache_data(ttl=FRESH_FOR_S, show_spinner=False)
def _documents(api_url: str, token: str | None, collection: str | None) -> tuple[list[Json], bool]:
    client = connect(api_url).with_token(token)
    found: list[Json] = []
    after = None
    while len(found) < KNOWN_DOCUMENTS:
        page = client.documents(collection=collection, limit=LISTED_AT_ONCE, after=after)
        found += _plain(page.documents)
        after = page.next
        if after is None:
            return found, False
    return found, True


def forget() -> None:
    """What is stored has changed: ask again."""
    _collections.clear()
    _documents.clear()
    _conversations.clear()


def ask_stream(
    client: Client,
    question: str,
    scope: Scope,
    history: Sequence[dict[str, str]],
    conversation_id: str | None,
) -> Iterator[tuple[str, Any]]:
    """(passages, list), (delta, text), (citations, list), (done, answer). Raises ServiceError."""
    try:
        for event in client.ask_stream(
            question,
            k=scope.k,
            collection=scope.collection,
            filter=scope.filter,
            history=history,
            conversation_id=conversation_id,
        ):
            match event:
                case PassagesEvent(passages):
                    yield "passages", _plain(passages)
                case DeltaEvent(text):
                    yield "delta", text
                case CitationsEvent(found):
                    yield "citations", _plain(found)
                case DoneEvent(answer):
                    yield "done", answer.model_dump()
    except ClientError as error:
        raise _said(error) from error


def surroundings(client: Client, found: Json) -> tuple[str, str, int, str]:
    """The text before, the chunk's own text and its start, the text after. Raises ServiceError."""
    try:
        chunks = client.document(found["document_id"]).chunks
    except ClientError as error:
        raise _said(error) from error
    for at, chunk in enumerate(chunks):
        if chunk.chunk_id == found["chunk_id"]:
            before = "".join(one.content for one in chunks[max(0, at - AROUND) : at])
            after = "".join(one.content for one in chunks[at + 1 : at + 1 + AROUND])
            return before, chunk.content, chunk.start, after
    raise ServiceError("This passage has changed since it was cited: ask again to see it anew.")


def upload(client: Client, file: File, collection: str) -> str:
    """What became of the file, in a word or two. Raises ServiceError."""
    try:
        report = client.upload([(file.name, file.getvalue())], collection=collection)
    except ClientError as error:
        raise _said(error) from error
    if report.failures:
        raise ServiceError(" ".join(one.reason for one in report.failures))
    for count, word in (
        (report.new, "added"),
        (report.changed, "replaced"),
        (report.unchanged, "already there"),
    ):
        if count:
            return word if count == 1 else f"{word} ({count} documents)"
    return "nothing in it to add"


def delete(client: Client, document_id: str) -> None:
    """Raises ServiceError."""
    try:
        client.delete_document(document_id)
    except ClientError as error:
        raise _said(error) from error
    forget()


def updates(client: Client) -> Updates:
    """Raises ServiceError."""
    with _told():
        counts = client.jobs(limit=1).counts
        documents = [one for one in counts if one.of == "documents"]
        refreshes = [one for one in counts if one.of == "sources"]
        dead_count = sum(one.dead for one in counts)
        # Where there is nothing to tell, nothing more is asked.
        active: list[Json] = []
        if any(one.waiting or one.running for one in refreshes):
            listed = client.sources(limit=LISTED_AT_ONCE).sources
            active = _plain(one for one in listed if one.state in ("waiting", "running"))
        dead = client.jobs(state="dead", limit=LISTED_JOBS).jobs if dead_count else []
    return Updates(
        waiting=sum(one.waiting for one in documents),
        running=sum(one.running for one in documents),
        refreshing=tuple(active),
        dead=tuple(_plain(dead)),
        dead_count=dead_count,
    )


def sources(client: Client) -> list[Json]:
    """Raises ServiceError."""
    with _told():
        return _plain(client.sources(limit=LISTED_AT_ONCE).sources)


def add_source(client: Client, settings: Json, collection: str, every_s: int | None) -> None:
    """Raises ServiceError."""
    with _told():
        client.add_source("web", settings, collection=collection, refresh_every_s=every_s)
    forget()


def refresh(client: Client, source_id: str) -> None:
    """Raises ServiceError."""
    with _told():
        client.refresh_source(source_id)


def remove_source(client: Client, source_id: str) -> None:
    """Raises ServiceError."""
    with _told():
        client.remove_source(source_id)
    forget()


def retry(client: Client, job_id: int) -> None:
    """Raises ServiceError."""
    with _told():
        client.retry_job(job_id)


def conversations(client: Client) -> tuple[list[Json], bool]:
    """Those that went on last, and whether there are more. Raises ServiceError."""
    with _told():
        return _conversations(client.base_url, client.token)


@st.cache_data(ttl=FRESH_FOR_S, show_spinner=False)
def _conversations(api_url: str, token: str | None) -> tuple[list[Json], bool]:
    page = connect(api_url).with_token(token).history(limit=LISTED_CONVERSATIONS)
    return _plain(page.conversations), page.next is not None


def conversation(client: Client, conversation_id: str) -> list[Json]:
    """Its answers, oldest first. Raises ServiceError."""
    found: list[Json] = []
    after = None
    with _told():
        while len(found) < SHOWN_ANSWERS:
            page = client.conversation(conversation_id, limit=200, after=after)
            found += _plain(page.answers)
            after = page.next
            if after is None:
                break
    return found


def delete_conversation(client: Client, conversation_id: str) -> None:
    """Raises ServiceError."""
    with _told():
        client.delete_conversation(conversation_id)
    forget_conversations()


def forget_conversations() -> None:
    """There is another one, or one less: ask again."""
    _conversations.clear()


def give_feedback(client: Client, answer_id: str, said: Mapping[str, Any]) -> bool:
    """Whether it is stored already. Raises ServiceError."""
    with _told():
        return client.give_feedback(answer_id, **said).stored


def _plain(found: Iterable[BaseModel]) -> list[Json]:
    """As the page shows them, and its cache keeps them."""
    return [one.model_dump() for one in found]


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise _said(error) from error


def _said(error: ClientError) -> ServiceError:
    return ServiceError(str(error), away=isinstance(error, ServiceAway))
