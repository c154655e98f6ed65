"""A real endpoint of OpenAI's protocol: a language model by transformers behind FastAPI, over HTTP,
with faults on demand."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, cast

import uvicorn
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Send

from model_pipeline.domain import Wording
from rag_service.generate.told import Told
from rag_service.generate.transformers_teller import TransformersTeller
from rag_service.generate.transformers_writer import TransformersWriter
from rag_service.generate.writer import Cut, Message

MODEL = "tiny"


@dataclass
class Endpoint:
    """`faults` are spent one a request: a status, "hang" (no answer), "drop" (the connection ends
    after half the answer), "break" (before any text), "babble" (text without end). `strict`: it
    refuses to tell its usage, `silent`: it does not know how to. `scripted` says what is answered
    in place of the model, or None. A whole answer is held to its JSON schema where the writer is a
    TransformersTeller: up to the first value, of the enumeration that it has."""

    writer: TransformersWriter
    key: str | None = None
    strict: bool = False
    silent: bool = False
    faults: deque[int | str] = field(default_factory=deque)
    scripted: Callable[[list[Message]], str | Told | None] = lambda _: None
    unknown: frozenset[str] = frozenset()
    """Parameters that it refuses to be asked for."""
    refusal: str | None = None
    """Is said in place of each whole answer."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    traces: list[str | None] = field(default_factory=list)
    """The `traceparent` that each came with."""
    left: threading.Event = field(default_factory=threading.Event)
    """A reader went before the end."""
    address: str = ""

    @property
    def spec(self) -> str:
        return f"openai:{self.address}/v1#{MODEL}"


class _Stream(StreamingResponse):
    async def stream_response(self, send: Send) -> None:
        async with aclosing(cast(AsyncGenerator[bytes, None], self.body_iterator)):
            await super().stream_response(send)


def _app(endpoint: Endpoint) -> FastAPI:
    app = FastAPI()

    def refused(request: Request) -> Response | None:
        if endpoint.key and request.headers.get("authorization") != f"Bearer {endpoint.key}":
            return _error(401, "invalid key")
        return None

    @app.get("/v1/models")
    async def models(request: Request) -> Response:
        found = {"object": "list", "data": [{"id": MODEL, "object": "model", "created": 0}]}
        return refused(request) or JSONResponse(found)

    @app.post("/v1/chat/completions")
    async def complete(request: Request) -> Response:
        if (refusal := refused(request)) is not None:
            return refusal
        body = await request.json()
        endpoint.asked.append(body)
        endpoint.traces.append(request.headers.get("traceparent"))
        fault = endpoint.faults.popleft() if endpoint.faults else None
        if endpoint.strict and "stream_options" in body:
            return _error(400, "stream_options: Extra inputs are not permitted")
        if isinstance(fault, int):
            return _error(fault, "on demand")
        if fault == "hang":
            await asyncio.sleep(30)
        messages = [Message(one["role"], one["content"]) for one in body["messages"]]
        if unknown := sorted(endpoint.unknown & set(body)):
            return _error(400, f"{unknown[0]}: Extra inputs are not permitted")
        if not body.get("stream"):
            return JSONResponse(await _whole(endpoint, messages, body))
        usage = body.get("stream_options", {}).get("include_usage") and not endpoint.silent
        wording = Wording(
            *[body.get(one) for one in ("temperature", "top_p", "seed", "max_tokens")]
        )
        return _Stream(
            _chunks(endpoint, messages, wording, fault, usage), media_type="text/event-stream"
        )

    return app


async def _chunks(
    endpoint: Endpoint,
    messages: list[Message],
    wording: Wording,
    fault: str | None,
    usage: bool,
) -> AsyncGenerator[bytes, None]:
    yield _chunk({"role": "assistant", "content": ""})
    if fault == "break":
        raise ConnectionAbortedError
    told, said, reason = 0, "", "stop"
    try:
        for number in count() if fault == "babble" else ():  # what repeats itself would be stopped
            yield _chunk({"content": f"On and on, {number} times. "})
            await asyncio.sleep(0.001)
        if (scripted := endpoint.scripted(messages)) is not None:
            assert isinstance(scripted, str)
            yield _chunk({"content": scripted})
            yield _chunk({}, reason)
            return
        async with aclosing(endpoint.writer.write(messages, wording)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Cut):
                    reason = "length"
                    break
                yield _chunk({"content": piece})
                said += piece
                told += 1
                if fault == "drop" and told == 12:
                    raise ConnectionAbortedError
    except (asyncio.CancelledError, GeneratorExit):
        endpoint.left.set()
        raise
    yield _chunk({}, reason)
    if usage:
        asked = sum(endpoint.writer.count_tokens(one.content) for one in messages)
        written = endpoint.writer.count_tokens(said)
        counts = {"prompt_tokens": asked, "completion_tokens": written}
        yield _event(choices=[], usage=counts | {"total_tokens": asked + written})
    yield b"data: [DONE]\n\n"


async def _whole(endpoint: Endpoint, messages: list[Message], body: dict[str, Any]) -> Any:
    told = endpoint.scripted(messages)
    if told is None:
        told = await _told(endpoint.writer, messages, body)
    if isinstance(told, str):
        told = Told(told)
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": told.text, "refusal": endpoint.refusal},
        "finish_reason": "stop",
    }
    if endpoint.refusal is not None:
        choice["message"]["content"] = None
    if body.get("logprobs") and told.tokens:
        most = body["top_logprobs"]
        choice["logprobs"] = {"content": [_token(*one, most) for one in told.tokens]}
    return {
        "id": "1", "object": "chat.completion", "created": 0, "model": MODEL, "choices": [choice],
    }  # fmt: skip


async def _told(
    writer: TransformersWriter, messages: list[Message], body: dict[str, Any]
) -> Told | str:
    if isinstance(writer, TransformersTeller) and "response_format" in body:
        schema = body["response_format"]["json_schema"]["schema"]
        name, first = next(iter(schema["properties"].items()))
        return await writer.tell(messages, f'{{"{name}": "', first["enum"])
    async with aclosing(writer.write(messages)) as pieces:
        return "".join([piece async for piece in pieces if not isinstance(piece, Cut)])


def _token(text: str, likely: Mapping[str, float], most: int) -> dict[str, Any]:
    best = sorted(likely.items(), key=lambda item: -item[1])[:most]
    told = [{"token": each, "logprob": value, "bytes": None} for each, value in best]
    return {
        "token": text, "logprob": likely.get(text, 0.0), "bytes": None, "top_logprobs": told,
    }  # fmt: skip


def _chunk(delta: dict[str, str], reason: str | None = None) -> bytes:
    return _event(choices=[{"index": 0, "delta": delta, "finish_reason": reason}])


def _event(**more: Any) -> bytes:
    found = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": MODEL}
    return b"data: " + json.dumps(found | more).encode() + b"\n\n"


def _error(status: int, message: str) -> Response:
    headers = {"Retry-After": "0"} if status in (429, 503) else {}
    return JSONResponse({"error": {"message": message, "type": "error"}}, status, headers)


@contextmanager
def running(endpoint: Endpoint) -> Iterator[Endpoint]:
    """On a free port."""
    config = uvicorn.Config(
        _app(endpoint), host="127.0.0.1", port=0, log_level="critical", ws="none",
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the endpoint did not start"
            time.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        endpoint.address = f"http://127.0.0.1:{port}"
        yield endpoint
    finally:
        server.should_exit = True
        thread.join()
