"""Around every request, as plain ASGI: host check, size limit, request id, headers, last resort."""

from __future__ import annotations

import re
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model_pipeline.errors import TooLarge
from rag_service.api import problems
from rag_service.api.services import Limits

REQUEST_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
)


class Guard:
    """Answers before the application where a request must not reach it."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [
                    *message["headers"],
                    *HEADERS,
                    (b"x-request-id", request_id.encode("latin-1")),
                ]
            await send(message)

        if not self._knows_host(headers.get(b"host", b"").decode("latin-1")):
            # A page elsewhere that points its own name here could otherwise read a local service.
            detail = "This host name is not served: add it to PROMPTLY_ALLOWED_HOSTS."
            problem = problems.body(421, "Misdirected request", detail, request_id)
            await problems.response(problem)(scope, receive, send_with_headers)
            return
        multipart = headers.get(b"content-type", b"").lower().startswith(b"multipart/form-data")
        limit = self._limits.upload_bytes if multipart else self._limits.body_bytes
        try:
            await self._app(scope, _limited(receive, headers, limit), send_with_headers)
        except Exception as error:
            problem = problems.of(error, request_id)
            if started:
                raise
            await problems.response(problem, error)(scope, receive, send_with_headers)

    def _knows_host(self, host: str) -> bool:
        name = re.sub(r":\d+$", "", host)
        return "*" in self._limits.allowed_hosts or name in self._limits.allowed_hosts


def _limited(receive: Receive, headers: dict[bytes, bytes], limit: int) -> Receive:
    """`receive`, refusing a body over `limit` bytes: by its announced length, and as it comes."""
    length = headers.get(b"content-length", b"0")
    announced = int(length) if length.isdigit() else 0
    seen = 0

    async def limited() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            if max(seen, announced) > limit:
                raise TooLarge(f"The body is over {limit:,} bytes: send less at once.")
        return message

    return limited
