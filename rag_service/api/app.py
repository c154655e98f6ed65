"""The HTTP API. Endpoints parse, call, translate; the work is done elsewhere."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import FastAPI

from rag_service import spans
from rag_service.api import problems
from rag_service.api.answers import answer_routes
from rag_service.api.collections import collection_routes
from rag_service.api.documents import document_routes
from rag_service.api.feedback import feedback_routes
from rag_service.api.health import health_routes, metrics_routes
from rag_service.api.history import history_routes
from rag_service.api.limits import Admission
from rag_service.api.middleware import Guard
from rag_service.api.openai_chat import chat_routes
from rag_service.api.openai_embeddings import embedding_routes
from rag_service.api.openai_errors import OpenAIErrors
from rag_service.api.openai_models import model_routes
from rag_service.api.reviews import review_routes
from rag_service.api.search import search_routes
from rag_service.api.services import Services
from rag_service.api.sources import source_routes

DESCRIPTION = """
Ask your own documents: passages by hybrid search, answers with checked citations.

Errors are `application/problem+json` (RFC 9457) with one sentence in `detail`; where OpenAI's
clients ask, they have OpenAI's shape. Each response tells the time of its stages in `timings_ms`
and `Server-Timing`, and its id in `X-Request-Id`.
"""

PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": problems.documented(
        "What is wrong, and what to do.",
        status=422,
        title="Invalid input",
        detail="The field 'k' should be less than or equal to 100.",
        request_id="5f0c2a",
    ),
    "503": problems.documented(
        "Try again after the seconds in Retry-After.",
        status=503,
        title="The database does not answer",
        detail="The database does not answer: try again shortly.",
        request_id="5f0c2a",
    ),
}


def create_app(services: Services) -> FastAPI:
    """The application over `services`, which must be open as long as it serves."""
    app = FastAPI(
        title="Promptly",
        description=DESCRIPTION,
        version=_version(),
        responses=PROBLEMS,
        # The spans of requests; what is measured is in Metrics.
        telemetry={
            "tracing": spans.are_sent(),
            "metrics": False,
            "logs": False,
            "operation_spans": False,
        },
    )
    parts = (
        search_routes,
        answer_routes,
        history_routes,
        feedback_routes,
        review_routes,
        document_routes,
        collection_routes,
        source_routes,
        chat_routes,
        embedding_routes,
        model_routes,
        health_routes,
        metrics_routes,
    )
    for routes in parts:
        app.include_router(routes(services))
    problems.install(app)
    admission = Admission(services.limits)
    for name, room in admission.rooms.items():
        services.metrics.watch_room(name, room)
    app.add_middleware(
        Guard,
        limits=services.limits,
        admission=admission,
        metrics=services.metrics,
        drain=services.drain,
    )
    app.add_middleware(OpenAIErrors)  # around the guard, whose problems it tells as well
    return app


def _version() -> str:
    try:
        return version("promptly-rag")
    except PackageNotFoundError:
        return "0"
