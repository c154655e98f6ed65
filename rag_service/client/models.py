"""What the service answers, under the names of its OpenAPI document. Ids and times are strings, as
they come; fields that this client does not know yet are passed over."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Mode = Literal["hybrid", "dense", "lexical"]
Role = Literal["reader", "editor", "owner"]
Visibility = Literal["private", "public"]
Kind = Literal["files", "web", "table", "bucket"]
Rating = Literal["up", "down"]
State = Literal["waiting", "running", "dead"]


class Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class Timed(Model):
    """Milliseconds per stage."""

    timings_ms: dict[str, float]


class Passage(Model):
    chunk_id: str
    document_id: str
    source: str
    title: str
    heading_path: list[str]
    content: str
    metadata: dict[str, Any]
    start: int
    score: float
    dense_score: float | None
    lexical_score: float | None


class SearchResult(Timed):
    passages: list[Passage]
    complete: bool


class Citation(Model):
    n: int
    quote: str
    chunk_id: str
    document_id: str
    source: str
    title: str
    heading_path: list[str]
    start: int
    end: int


class Span(Model):
    start: int
    end: int


class Bias(Model):
    """`level` and `score` are from 1, harmful, to 5, fair; None where it could not be judged."""

    level: int | None
    score: float | None
    sure: bool
    flagged: bool
    withheld: bool


class Answer(Timed):
    answer_id: str
    answer: str
    declined: bool
    citations: list[Citation]
    passages: list[Passage]
    release_id: str
    dropped_citations: int
    unsupported: list[Span]
    fallback: str | None
    cached: bool
    bias: Bias | None
    conversation_id: str
    complete: bool


class Document(Model):
    document_id: str
    collection: str
    source: str
    title: str
    metadata: dict[str, Any]
    chunk_count: int
    content_hash: str
    updated_at: str


class DocumentList(Timed):
    """`next` is `after` of the next page; None where there is no more."""

    documents: list[Document]
    next: str | None


class Chunk(Model):
    chunk_id: str
    ordinal: int
    start: int
    heading_path: list[str]
    content: str


class DocumentDetail(Document, Timed):
    """The contents of the chunks, joined, are the document's text."""

    chunks: list[Chunk]


class Failure(Model):
    source: str
    reason: str


class IngestReport(Timed):
    new: int
    changed: int
    unchanged: int
    failed: int
    failures: list[Failure]


class Collection(Model):
    collection_id: str
    name: str
    visibility: Visibility
    role: Role


class CollectionReply(Collection, Timed):
    pass


class CollectionList(Timed):
    """Their names, and in `details` the same in the same order."""

    collections: list[str]
    details: list[Collection]


class Member(Model):
    user_id: str
    role: Role
    created_at: str


class MemberReply(Member, Timed):
    pass


class MemberList(Timed):
    members: list[Member]


class RefreshResult(Model):
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    failed: int = 0
    failures: list[Failure] = []


class Source(Model):
    source_id: str
    collection: str
    kind: Kind
    name: str
    settings: dict[str, Any]
    refresh_every_s: int | None
    refresh_at: str | None
    refreshed_at: str | None
    last_result: RefreshResult | None
    trusted: bool
    state: State | None
    job_id: int | None
    progress: dict[str, int] | None
    reason: str | None


class SourceReply(Source, Timed):
    pass


class SourceList(Timed):
    sources: list[Source]
    next: str | None


class RemovedSource(Timed):
    """How many documents went with it."""

    documents: int


class JobCounts(Model):
    collection: str
    of: Literal["documents", "sources"]
    waiting: int
    running: int
    dead: int


class Job(Model):
    job_id: int
    collection: str
    state: State
    document_id: str | None
    source_id: str | None
    name: str
    attempts: int
    due_at: str
    progress: dict[str, int]
    reason: str | None


class JobList(Timed):
    counts: list[JobCounts]
    jobs: list[Job]
    next: int | None


class Health(Model):
    status: Literal["ok"] = "ok"


class Feedback(Model):
    rating: Rating | None
    comment: str | None
    corrected_answer: str | None
    harm: str | None


class FeedbackReply(Timed):
    """`stored` is False where it is kept, and waits for the database."""

    answer_id: str
    stored: bool
    feedback: Feedback | None


class Conversation(Model):
    conversation_id: str
    title: str
    created_at: str
    updated_at: str


class ConversationList(Timed):
    conversations: list[Conversation]
    next: str | None


class KeptAnswer(Timed):
    answer_id: str
    question: str
    answer: str
    declined: bool
    citations: list[Citation]
    release_id: str
    collection: str | None
    created_at: str
    bias: Bias | None
    feedback: Feedback | None


class ConversationDetail(Conversation, Timed):
    answers: list[KeptAnswer]
    next: str | None


class Review(Model):
    """`level` is one's own, `judged` the judge's."""

    review_id: str
    answer_id: str
    signature: str
    level: int
    judged: int
    confirms: bool
    comment: str | None
    created_at: str


class ReviewReply(Review, Timed):
    pass


class Evidence(Model):
    """In characters of the answer."""

    start: int
    end: int
    dimension: str | None


class Verdict(Model):
    """`probabilities` are of the levels 1, harmful, to 5, fair; where not `sure`, the judge
    abstains."""

    signature: str
    level: int
    score: float
    probabilities: list[float]
    evidence: list[Evidence]
    reason: str
    sure: bool
    dimension: str | None
    created_at: str
    reviews: list[Review]


class VerdictList(Timed):
    answer_id: str
    verdicts: list[Verdict]
