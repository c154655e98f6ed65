"""The HTTP API. Endpoints parse, call, translate; the work is done elsewhere."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI

from rag_service.api import problems
from rag_service.api.answers import answer_routes
from rag_service.api.documents import document_routes
from rag_service.api.health import health_routes
from rag_service.api.middleware import Guard
from rag_service.api.search import search_routes
from rag_service.api.services import Services

DESCRIPTION = """
Ask your own documents: passages by hybrid search, answers with checked citations.

Errors are `application/problem+json` (RFC 9457) with one sentence in `detail`. Each response tells
the time of its stages in `timings_ms` and `Server-Timing`, and its id in `X-Request-Id`.
"""


def create_app(services: Services) -> FastAPI:
    """The application over `services`, which must be open as long as it serves."""
    app = FastAPI(
        title="Promptly",
        description=DESCRIPTION,
        version=_version(),
        responses={
            "4XX": {
                "model": problems.ProblemModel,
                "description": "What is wrong, and what to do.",
            },
            "503": {"model": problems.ProblemModel, "description": "Try again after Retry-After."},
        },
    )
    for routes in (search_routes, answer_routes, document_routes, health_routes):
        app.include_router(routes(services))
    problems.install(app)
    app.add_middleware(Guard, limits=services.limits)
    return app


def _version() -> str:
    try:
        return version("promptly-rag")
    except PackageNotFoundError:
        return "0"
