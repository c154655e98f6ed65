"""/healthz and /readyz."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter

from model_pipeline.errors import PromptlyError, Unavailable
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
    async def readyz() -> Health:
        """The database and the embedder answer; 503 otherwise."""
        try:
            async with asyncio.timeout(READY_LIMIT_S):
                await services.ready()
        except Unavailable:
            raise
        except PromptlyError as error:
            raise Unavailable(error.message, retry_after_s=10) from error
        return Health()

    return routes
