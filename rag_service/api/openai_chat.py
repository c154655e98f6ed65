"""POST /v1/chat/completions: the same answers, for whatever speaks OpenAI's API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request
from starlette.responses import Response

from model_pipeline.domain import Answer, Turn
from model_pipeline.errors import InvalidInput
from rag_service.answer import Delta, Done, Event
from rag_service.api import openai_errors, problems
from rag_service.api.answers import STREAM_HEADERS, EventStream, within
from rag_service.api.openai_models import collection_of
from rag_service.api.openai_schemas import (
    ChatReply,
    ChatRequest,
    Options,
    about,
    from_citations,
)
from rag_service.api.replies import encoded
from rag_service.api.services import Services

DESCRIPTION = """
An answer as `POST /v1/answers` gives it, in the shapes of OpenAI's chat completions; the message's
`annotations` are its verified citations.

The last message is the question. System messages are accepted and read past: nothing that a client
sends changes what an answer rests on. Where a language model writes, `temperature`, `top_p`,
`seed`, `max_tokens` and `stop` are kept to. With `stream: true` the reply is `text/event-stream`:
chunks as `data: {...}`, the last of them with the annotations, and `data: [DONE]`.
"""
EVENT_STREAM = {
    "text/event-stream": {
        # Of each event, as readers of OpenAPI documents take streams; the last data is [DONE].
        "schema": {
            "type": "object",
            "required": ["data"],
            "properties": {"data": {"type": "string"}},
        },
        "example": {"data": '{"choices":[{"index":0,"delta":{"content":"When ..."}}]}'},
    }
}


def chat_routes(services: Services) -> APIRouter:
    routes = APIRouter(tags=["openai"], responses=openai_errors.documented())
    limit_s = services.limits.request_timeout_s

    @routes.post(
        "/v1/chat/completions",
        response_model=ChatReply,
        summary="Complete a chat",
        description=DESCRIPTION,
        responses={200: {"description": "The completion.", "content": EVENT_STREAM}},
    )
    async def complete(body: ChatRequest, request: Request) -> Response:
        body.require_supported()
        question, history = body.question()
        options = body.promptly or Options()
        arguments: dict[str, Any] = {
            "k": options.k,
            "collection": _collection(body.model, options),
            "filter": options.filter,
            "history": history,
        }
        deadline = asyncio.get_running_loop().time() + limit_s
        async with asyncio.timeout_at(deadline):
            mine = await services.acting_for(request)
            completion = Completion(mine, body, request, [*history, Turn("user", question)])
            wording = body.wording()
            answerer = mine.answerer.worded(wording) if wording.name else mine.answerer
            if not body.stream:
                whole = await completion.whole(await answerer.answer(question, **arguments))
                return Response(encoded(whole), media_type="application/json")
            # What goes wrong before the first event is still told by the status.
            events = answerer.stream(question, **arguments)
            first = await anext(events)
        return EventStream(
            completion.chunks(first, events, deadline),
            media_type="text/event-stream",
            headers=STREAM_HEADERS,
        )

    return routes


def _collection(model: str, options: Options) -> str | None:
    """By the model or by the option; raises NotFound, InvalidInput."""
    named = collection_of(model)
    if named and options.collection and named != options.collection:
        raise InvalidInput(
            f"The model answers from {named!r}, and the option names {options.collection!r}: "
            "leave one out.",
            field="promptly.collection",
        )
    return named or options.collection


def _why(answer: Answer) -> str:
    """It has ended."""
    return "length" if answer.cut else "stop"


class Completion:
    """One answer on its way to whoever asked. `said` is the question after what was said before."""

    def __init__(
        self, services: Services, body: ChatRequest, request: Request, said: Sequence[Turn]
    ) -> None:
        self._services = services
        self._said = said
        self._collection = _collection(body.model, body.promptly or Options())
        self._base_url = str(request.base_url)
        self._request_id = problems.request_id(request)
        self._usage_asked = bool(body.stream_options and body.stream_options.include_usage)
        self._head = {
            "id": f"chatcmpl-{self._request_id}",
            "created": int(time.time()),
            "model": body.model,
        }

    async def _keep(self, answer: Answer) -> None:
        """In a conversation of its own: these clients have no name for the one they are in."""
        self._services.metrics.answered(answer)
        await self._services.keeper.keep(
            self._said[-1].content,
            answer,
            collection=self._collection,
            conversation_id=uuid4(),
        )

    async def whole(self, answer: Answer) -> dict[str, Any]:
        await self._keep(answer)
        message = {
            "role": "assistant",
            "content": answer.answer,
            "refusal": None,
            "annotations": from_citations(answer.answer, answer.citations, self._base_url),
        }
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _why(answer)}
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [choice],
            "usage": await self._usage(answer.answer),
            "system_fingerprint": answer.release_id,
            "promptly": about(answer),
        }

    async def chunks(
        self, first: Event, events: AsyncIterator[Event], deadline: float
    ) -> AsyncIterator[bytes]:
        said = ""
        async with aclosing(within(deadline, first, events)) as timely:
            try:
                yield self._chunk({"role": "assistant", "content": ""})
                async for event in timely:
                    match event:
                        case Delta(text):
                            said += text
                            yield self._chunk({"content": text})
                        case Done(answer):
                            await self._keep(answer)
                            taken_back = "" if said.strip() == answer.answer else answer.answer
                            if taken_back:
                                # What was sent cannot be unsaid: what holds instead follows it.
                                said += f"\n\n{taken_back}"
                                yield self._chunk({"content": f"\n\n{taken_back}"})
                            yield self._last(said, answer)
                            if self._usage_asked:
                                yield self._event(choices=[], usage=await self._usage(said))
                            yield b"data: [DONE]\n\n"
            except Exception as error:
                problem = problems.of(error, self._request_id)
                yield b"data: " + problems.encoded(openai_errors.from_problem(problem)) + b"\n\n"

    def _last(self, said: str, answer: Answer) -> bytes:
        found = from_citations(said, answer.citations, self._base_url)
        more = {"system_fingerprint": answer.release_id, "promptly": about(answer)}
        return self._chunk({"annotations": found}, _why(answer), **more)

    def _chunk(self, delta: dict[str, Any], finished: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finished}
        usage = {"usage": None} if self._usage_asked else {}
        return self._event(choices=[choice], **usage, **more)

    def _event(self, **more: Any) -> bytes:
        chunk = {**self._head, "object": "chat.completion.chunk", **more}
        return b"data: " + encoded(chunk) + b"\n\n"

    async def _usage(self, answer: str) -> dict[str, int]:
        texts = [*(turn.content for turn in self._said), answer]
        count = self._services.embedder().count_tokens
        loop = asyncio.get_running_loop()
        *asked, answered = await loop.run_in_executor(self._services.executor, count, texts)
        return {
            "prompt_tokens": sum(asked),
            "completion_tokens": answered,
            "total_tokens": sum(asked) + answered,
        }
