"""/v1/history: what one asked and was answered, by conversation."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from model_pipeline.errors import InvalidInput
from model_pipeline.store.history import Conversation, Place
from rag_service.api.history_schemas import (
    ConversationDetail,
    ConversationList,
    from_conversation,
    from_kept,
    written,
)
from rag_service.api.replies import reply, since
from rag_service.api.services import Services

ConversationId = Annotated[
    UUID,
    Path(
        description="As `GET /v1/history` lists it, or as an answer came with.",
        examples=["0191b7a2-6c1e-5f3a-9d42-3b5f0e8c7a13"],
    ),
]
# Said for who reads the document; `to_place` has a sentence of its own.
PLACE = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z_[0-9a-f-]{36}$"
Limit = Annotated[int, Query(ge=1, le=200, description="How many a page.")]


def history_routes(services: Services) -> APIRouter:
    routes = APIRouter(tags=["history"])

    @routes.get("/v1/history", response_model=ConversationList, summary="List your conversations")
    async def list_conversations(
        request: Request,
        conversation_id: Annotated[UUID | None, Query(description="Only this one.")] = None,
        limit: Limit = 50,
        after: Annotated[
            str | None,
            Query(
                max_length=100,
                description="`next` of the page before.",
                json_schema_extra={"pattern": PLACE},
            ),
        ] = None,
    ) -> Response:
        """Those that went on last first. With accounts, for who is signed in."""
        started = time.perf_counter()
        mine = await services.acting_for(request)
        place = None if after is None else to_place(after)
        await mine.keeper.settled()
        found = await run_in_threadpool(
            mine.history.conversations, limit=limit, after=place, only=conversation_id
        )
        return reply(
            {
                "conversations": [from_conversation(one) for one in found],
                "next": from_place(found[-1]) if len(found) == limit else None,
                "timings_ms": since(started),
            }
        )

    @routes.get(
        "/v1/history/{conversation_id}",
        response_model=ConversationDetail,
        summary="Show a conversation",
    )
    async def show_conversation(
        request: Request,
        conversation_id: ConversationId,
        limit: Limit = 100,
        after: Annotated[UUID | None, Query(description="`next` of the page before.")] = None,
    ) -> Response:
        """Its answers, oldest first, each with your feedback."""
        started = time.perf_counter()
        mine = await services.acting_for(request)
        await mine.keeper.settled()
        about, found = await run_in_threadpool(
            mine.history.answers, conversation_id, limit=limit, after=after
        )
        return reply(
            {
                **from_conversation(about),
                "answers": [from_kept(one) for one in found],
                "next": str(found[-1].answer_id) if len(found) == limit else None,
                "timings_ms": since(started),
            }
        )

    @routes.delete(
        "/v1/history/{conversation_id}", status_code=204, summary="Delete a conversation"
    )
    async def delete_conversation(request: Request, conversation_id: ConversationId) -> Response:
        """With its answers, and what you said of them."""
        mine = await services.acting_for(request)
        await mine.keeper.settled()
        await run_in_threadpool(mine.history.forget, conversation_id)
        return Response(status_code=204)

    return routes


def from_place(last: Conversation) -> str:
    return f"{written(last.updated_at)}_{last.conversation_id}"


def to_place(text: str) -> Place:
    at, _, identity = text.partition("_")
    try:
        return Place(datetime.strptime(at, "%Y-%m-%dT%H:%M:%S.%f%z"), UUID(identity))
    except ValueError as error:
        raise InvalidInput("The field 'after' should be the 'next' of the page before.") from error
