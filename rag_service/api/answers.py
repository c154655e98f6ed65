"""POST /v1/answers: whole, or as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, cast
from uuid import uuid4

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Send

from model_pipeline.domain import Answer, Turn
from rag_service.answer import CitationsVerified, Delta, Done, Event, PassagesFound
from rag_service.api import problems
from rag_service.api.replies import encoded, reply
from rag_service.api.schemas import (
    AnswerModel,
    AnswerRequest,
    from_answer,
    from_citation,
    from_passage,
)
from rag_service.api.services import Services

STALLED_S = 30.0  # a reader who takes no more would hold a place for ever
STREAM_HEADERS = {"X-Accel-Buffering": "no"}  # proxies would hold the pieces back
DESCRIPTION = """
An answer from the documents alone. Each citation's quote was found, character for character, in the
passage it names; where nothing supports an answer, `declined` is true.

It is kept in your history, in a conversation: `conversation_id` goes on with one, and is made where
there is none. Of who is not signed in where others are nothing is kept.

With `stream: true` the reply is `text/event-stream`, with the events `passages` (`{"passages",
"complete"}`), `delta` (`{"text"}`), `citations` (`{"citations"}`), `done` (the whole answer, as
without streaming) and, in place of what would have followed, `error` (a problem).
"""

EVENT_STREAM = {
    "text/event-stream": {
        # Of each event, as readers of OpenAPI documents take streams.
        "schema": {
            "type": "object",
            "required": ["event", "data"],
            "properties": {
                "event": {"enum": ["passages", "delta", "citations", "done", "error"]},
                "data": {"type": "string", "contentMediaType": "application/json"},
            },
        },
        "example": {"event": "delta", "data": '{"text":"When the definition is executed [1]."}'},
    }
}


def answer_routes(services: Services) -> APIRouter:
    routes = APIRouter(tags=["answers"])
    limit_s = services.limits.request_timeout_s

    @routes.post(
        "/v1/answers",
        response_model=AnswerModel,
        summary="Answer a question",
        description=DESCRIPTION,
        responses={200: {"description": "The answer.", "content": EVENT_STREAM}},
    )
    async def answer(body: AnswerRequest, request: Request) -> Response:
        arguments: dict[str, Any] = {
            "k": body.k,
            "collection": body.collection,
            "filter": body.filter,
            "history": [Turn(turn.role, turn.content) for turn in body.history],
        }
        conversation_id = body.conversation_id or uuid4()

        async def keep(answer: Answer) -> dict[str, Any]:
            services.metrics.answered(answer)
            await mine.keeper.keep(
                body.question,
                answer,
                collection=body.collection,
                conversation_id=conversation_id,
            )
            return from_answer(answer, conversation_id)

        deadline = asyncio.get_running_loop().time() + limit_s
        async with asyncio.timeout_at(deadline):
            mine = await services.acting_for(request)
            if not body.stream:
                return reply(await keep(await mine.answerer.answer(body.question, **arguments)))
            # What goes wrong before the first event is still told by the status.
            events = mine.answerer.stream(body.question, **arguments)
            first = await anext(events)
        return EventStream(
            _encoded(first, events, keep, deadline, problems.request_id(request)),
            media_type="text/event-stream",
            headers=STREAM_HEADERS,
        )

    return routes


Keep = Callable[[Answer], Awaitable[dict[str, Any]]]
"""Keeps an answer, and gives it as it is sent."""


class EventStream(StreamingResponse):
    """Stops the work behind it at once when the client leaves, or takes nothing for a while."""

    async def stream_response(self, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(STALLED_S):
                await send(message)

        async with aclosing(cast(AsyncGenerator[bytes, None], self.body_iterator)):
            await super().stream_response(send_in_time)


async def within(
    deadline: float, first: Event, events: AsyncIterator[Event]
) -> AsyncGenerator[Event, None]:
    """`first` and then `events`, which are closed in the end; raises TimeoutError. `deadline` is
    the event loop's; only the wait for an event counts, not a slow reader's."""
    async with aclosing(cast(AsyncGenerator[Event, None], events)):
        yield first
        while True:
            async with asyncio.timeout_at(deadline):
                event = await anext(events, None)
            if event is None:
                return
            yield event


async def _encoded(
    first: Event, events: AsyncIterator[Event], keep: Keep, deadline: float, request_id: str
) -> AsyncIterator[bytes]:
    async with aclosing(within(deadline, first, events)) as timely:
        try:
            async for event in timely:
                yield await _event(event, keep)
        except Exception as error:
            problem = problems.of(error, request_id)
            yield b"event: error\ndata: " + problems.encoded(problem) + b"\n\n"


async def _event(event: Event, keep: Keep) -> bytes:
    match event:
        case PassagesFound(passages, complete, _):
            data = {"passages": [from_passage(one) for one in passages], "complete": complete}
            return _message(b"passages", data)
        case Delta(text):
            return _message(b"delta", {"text": text})
        case CitationsVerified(citations):
            return _message(b"citations", {"citations": [from_citation(one) for one in citations]})
        case Done(answer):
            return _message(b"done", await keep(answer))


def _message(name: bytes, data: dict[str, Any]) -> bytes:
    return b"event: " + name + b"\ndata: " + encoded(data) + b"\n\n"
