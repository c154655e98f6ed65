"""POST /v1/search."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import Response

from rag_service.api.replies import reply
from rag_service.api.schemas import SearchReply, SearchRequest, from_result
from rag_service.api.services import Services


def search_routes(services: Services) -> APIRouter:
    routes = APIRouter(tags=["search"])

    @routes.post("/v1/search", response_model=SearchReply, summary="Find passages")
    async def search(body: SearchRequest, request: Request) -> Response:
        """The passages nearest to a query: by meaning, by words, or both fused by rank."""
        async with asyncio.timeout(services.limits.request_timeout_s):
            mine = await services.acting_for(request)
            result = await mine.retriever.retrieve(
                body.query,
                k=body.k,
                mode=body.mode,
                collection=body.collection,
                filter=body.filter,
                diversity=body.diversity,
            )
        services.metrics.searched(result)
        return reply(from_result(result))

    return routes
