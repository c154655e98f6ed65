"""/healthz and /readyz."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request

from model_pipeline.errors import Unavailable
from rag_service.api import problems
from rag_service.api.schemas import Health
from rag_service.api.services import Services

READY_LIMIT_S = 5.0


def health_routes(services: Services) -> APIRouter:
    routes = APIRouter(tags=["health"])

    @routes.get("/healthz", summary="Whether the process lives")
    async def healthz() -> Health:
        """Says nothing of the database: restart the process when this fails."""
        return Health()

    @routes.get("/readyz", summary="Whether questions can be answered now")
    async def readyz(request: Request) -> Health:
        """The database and the embedder answer; 503 otherwise."""
        try:
            async with asyncio.timeout(READY_LIMIT_S):
                await services.ready()
        except (Unavailable, TimeoutError):
            raise
        except Exception as error:
            detail = problems.of(error, problems.request_id(request))["detail"]
            raise Unavailable(detail, retry_after_s=10) from error
        return Health()

    return routes
