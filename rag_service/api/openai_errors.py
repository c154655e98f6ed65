"""Errors as OpenAI's clients know them, at the addresses that those ask."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag_service.api import problems

PATHS = ("/v1/chat/completions", "/v1/embeddings", "/v1/models")
CODES = {
    401: "invalid_api_key",
    403: "permission_denied",
    404: "model_not_found",
    413: "request_too_large",
    429: "rate_limit_exceeded",
}


class OpenAIErrors:
    """Turns the problems of what it stands around into errors of OpenAI's shape, as plain ASGI:
    whoever refuses a request, a route or the guard before it, need not know who asked."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_openai(scope["path"]):
            await self._app(scope, receive, send)
            return
        held: Message | None = None

        async def translating(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and _is_problem(message):
                held = message
            elif held is None:
                await send(message)
            else:
                assert not message.get("more_body"), "a problem is sent in one piece"
                start, body = _translated(held, message.get("body", b""))
                await send(start)
                await send({**message, "body": body})

        await self._app(scope, receive, translating)


def is_openai(path: str) -> bool:
    return path in PATHS or path.startswith("/v1/models/")


class ErrorModel(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorReply(BaseModel):
    error: ErrorModel


def from_problem(problem: Mapping[str, Any]) -> dict[str, Any]:
    """{"error": {...}}, as the body of a response or as one event of a stream."""
    status = problem["status"]
    kind = "rate_limit_error" if status == 429 else "invalid_request_error"
    return {
        "error": {
            "message": problem["detail"],
            "type": kind if status < 500 else "server_error",
            "param": problem.get("field"),
            "code": CODES.get(status),
        }
    }


def documented() -> dict[int | str, dict[str, Any]]:
    """The errors of a route, for the OpenAPI document."""
    missing = problems.body(400, "Invalid input", "The field 'model' is missing: add it.", "")
    away = problems.body(503, "Unavailable", "The database does not answer: try again shortly.", "")
    examples = {"4XX": from_problem({**missing, "field": "model"}), "503": from_problem(away)}
    return {
        status: {
            "description": "What is wrong, and what to do.",
            "model": ErrorReply,
            "content": {"application/json": {"example": example}},
        }
        for status, example in examples.items()
    }


def _is_problem(start: Message) -> bool:
    return (b"content-type", problems.MEDIA_TYPE.encode()) in start["headers"]


def _translated(start: Message, body: bytes) -> tuple[Message, bytes]:
    problem = json.loads(body)
    encoded = problems.encoded(from_problem(problem))
    changed = {
        b"content-type": b"application/json",
        b"content-length": str(len(encoded)).encode(),
    }
    headers = [(name, value) for name, value in start["headers"] if name not in changed]
    # OpenAI has no 422: its clients know 400 for whatever is wrong with a request.
    status = 400 if start["status"] == 422 else start["status"]
    return {**start, "status": status, "headers": [*headers, *changed.items()]}, encoded
