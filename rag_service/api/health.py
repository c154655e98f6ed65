"""/healthz, /readyz and /metrics."""

from __future__ import annotations

import asyncio
import hmac

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from starlette.exceptions import HTTPException
from starlette.responses import Response

from model_pipeline.errors import Unauthorized, Unavailable
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
        """The database and the embedder answer, and the process is not about to end; 503
        otherwise."""
        if services.drain.begun:
            raise Unavailable("The service is stopping: ask another.", retry_after_s=10)
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


def metrics_routes(services: Services) -> APIRouter:
    routes = APIRouter(tags=["health"])
    access = services.metrics_access

    @routes.get("/metrics", include_in_schema=False)
    async def metrics(request: Request) -> Response:
        """In Prometheus' text format. Where nobody may read them, they are not there."""
        if access.token is None and not access.everybody:
            raise HTTPException(404)
        if access.token is not None:
            given = request.headers.get("authorization", "").encode("utf-8", "replace")
            if not hmac.compare_digest(given, f"Bearer {access.token}".encode()):
                raise Unauthorized("The metrics are for who has PROMPTLY_METRICS_TOKEN.")
        return Response(services.metrics.text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return routes
