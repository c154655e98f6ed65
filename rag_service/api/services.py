"""What the API needs from the outside, as ports: the composition root hands the real ones in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

from starlette.requests import Request
from structlog.contextvars import bind_contextvars

from model_pipeline.domain import (
    Answer,
    Caller,
    Collection,
    DocumentSummary,
    Embedder,
    Member,
    Role,
    SearchMode,
    SearchResult,
    Turn,
    Visibility,
    Wording,
)
from model_pipeline.errors import Unauthorized
from model_pipeline.store.history import Conversation, KeptAnswer, Place
from model_pipeline.store.pg_store import StoredChunk
from model_pipeline.store.sources import JobCounts, JobState, Kind, QueuedJob, Source
from model_pipeline.store.verdicts import Review, StoredVerdict
from rag_service.answer import Event
from rag_service.api.limits import Drain, Limits, Visit
from rag_service.api.metrics import Metrics
from rag_service.keep import Said


class Retrieving(Protocol):
    async def retrieve(
        self,
        query: str,
        *,
        k: int,
        mode: SearchMode,
        collection: str | None,
        filter: Mapping[str, Any] | None,
        diversity: float | None,
    ) -> SearchResult: ...


class Answering(Protocol):
    def worded(self, wording: Wording) -> Answering: ...

    async def answer(
        self,
        question: str,
        *,
        k: int,
        collection: str | None,
        filter: Mapping[str, Any] | None,
        history: Sequence[Turn],
    ) -> Answer: ...

    def stream(
        self,
        question: str,
        *,
        k: int,
        collection: str | None,
        filter: Mapping[str, Any] | None,
        history: Sequence[Turn],
    ) -> AsyncIterator[Event]: ...


class Documents(Protocol):
    """Synchronous: the API calls it in threads."""

    def list_documents(
        self, *, collection: str | None, limit: int, after: UUID | None
    ) -> list[DocumentSummary]: ...
    def get_document(self, document_id: UUID) -> tuple[DocumentSummary, list[StoredChunk]]: ...
    def delete_document(self, document_id: UUID) -> None: ...


class Collections(Protocol):
    """Synchronous: the API calls it in threads."""

    def visible(self) -> list[Collection]: ...
    def create(self, name: str, visibility: Visibility) -> Collection: ...
    def change(
        self, collection_id: UUID, *, name: str | None, visibility: Visibility | None
    ) -> Collection: ...
    def delete(self, collection_id: UUID) -> None: ...
    def members(self, collection_id: UUID) -> list[Member]: ...
    def set_member(self, collection_id: UUID, user_id: UUID, role: Role) -> Member: ...
    def remove_member(self, collection_id: UUID, user_id: UUID) -> None: ...


class Sources(Protocol):
    """Synchronous, too."""

    def add_source(
        self,
        collection: str,
        kind: Kind,
        settings: Mapping[str, Any],
        *,
        refresh_every: timedelta | None,
    ) -> Source: ...
    def sources(
        self, *, collection: str | None, limit: int, after: UUID | None
    ) -> list[Source]: ...
    def refresh_source(self, source_id: UUID) -> None: ...
    def remove_source(self, source_id: UUID) -> int: ...
    def jobs(
        self, *, collection: str | None, state: JobState | None, limit: int, after: int
    ) -> list[QueuedJob]: ...
    def job_counts(self, *, collection: str | None) -> list[JobCounts]: ...
    def retry_job(self, job_id: int) -> None: ...


class Reviews(Protocol):
    """Synchronous, too."""

    def verdicts(self, answer_id: UUID) -> list[tuple[StoredVerdict, list[Review]]]: ...
    def review(
        self, answer_id: UUID, *, level: int | None, comment: str | None, signature: str | None
    ) -> Review: ...


class History(Protocol):
    """Synchronous, too."""

    def conversations(
        self, *, limit: int, after: Place | None, only: UUID | None
    ) -> list[Conversation]: ...
    def answers(
        self, conversation_id: UUID, *, limit: int, after: UUID | None
    ) -> tuple[Conversation, list[KeptAnswer]]: ...
    def forget(self, conversation_id: UUID) -> None: ...


class Keeping(Protocol):
    """What is to be kept of what was asked and said: see rag_service.keep."""

    async def keep(
        self, question: str, answer: Answer, *, collection: str | None, conversation_id: UUID
    ) -> None: ...
    async def say(self, answer_id: UUID, said: Mapping[str, str | None]) -> Said: ...
    async def settled(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Upload:
    """One document to ingest. `title` and `metadata` are for texts; a file brings its own."""

    name: str
    content: bytes
    title: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    text: bool = False


@dataclass(frozen=True, slots=True)
class IngestReport:
    """Counts are documents; `failures` have (source, reason)."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    failures: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class MetricsAccess:
    """Who may read the metrics: who has the token, everybody (a service that only its own machine
    reaches), or nobody."""

    token: str | None = None
    everybody: bool = False


async def without_accounts(_authorization: str | None) -> Caller | None:
    """Local mode: whoever reaches the service is its user."""
    return None


@dataclass(frozen=True, slots=True)
class Services:
    """As the API's own user; `acting_for` gives them as whoever asks, and every endpoint that
    touches data takes those."""

    retriever: Retrieving
    answerer: Answering
    documents: Documents
    collections: Collections
    sources: Sources
    ingest: Callable[[Sequence[Upload], str], IngestReport]
    """(uploads, collection): synchronous, called in a thread, one at a time."""
    embedder: Callable[[], Embedder]
    """The one in use now."""
    executor: Executor
    """Where it runs: off the event loop, and bounded."""
    history: History
    keeper: Keeping
    reviews: Reviews
    ready: Callable[[], Awaitable[None]]
    """Raises where the service cannot answer."""
    limits: Limits = field(default_factory=Limits)
    authenticate: Callable[[str | None], Awaitable[Caller | None]] = without_accounts
    """From an Authorization header; raises Unauthorized."""
    anonymous: bool = False
    """Whether these are for anybody, where people have accounts."""
    metrics: Metrics = field(default_factory=Metrics)
    metrics_access: MetricsAccess = MetricsAccess()
    drain: Drain = field(default_factory=Drain)
    bound_to: Callable[[Caller | None], Services] | None = None
    """The same services for one request, as a caller. Needed where `authenticate` finds any."""

    async def acting_for(self, request: Request) -> Services:
        """Lets the request in, or raises TooManyRequests, Unavailable, Unauthorized."""
        visit: Visit = request.scope["state"]["visit"]
        await visit.enter()
        try:
            caller = await self.authenticate(request.headers.get("authorization"))
        except Unauthorized:
            visit.charge(None)  # guesses are counted too
            raise
        visit.charge(caller)
        bind_contextvars(caller=visit.alias)
        if self.bound_to is None:
            assert caller is None
            return self
        return self.bound_to(caller)
