"""Typed clients of the HTTP API, as the UI uses and scripts may: `Client`, and `AsyncClient` for
asyncio. Both raise the errors of `errors`, each with one sentence."""

from rag_service.client.asynchronous import AsyncClient
from rag_service.client.errors import (
    ClientError,
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    ServiceAway,
    ServiceError,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from rag_service.client.events import (
    AnswerEvent,
    CitationsEvent,
    DeltaEvent,
    DoneEvent,
    PassagesEvent,
)
from rag_service.client.models import Answer, Citation, Document, Passage, SearchResult
from rag_service.client.synchronous import Client

__all__ = [
    "Answer",
    "AnswerEvent",
    "AsyncClient",
    "Citation",
    "CitationsEvent",
    "Client",
    "ClientError",
    "Conflict",
    "DeltaEvent",
    "Document",
    "DoneEvent",
    "Forbidden",
    "InvalidInput",
    "NotFound",
    "Passage",
    "PassagesEvent",
    "SearchResult",
    "ServiceAway",
    "ServiceError",
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
]
