"""Around every request, as plain ASGI: who may ask, how much at once, request id, last resort."""

from __future__ import annotations

import re
import time
from urllib.parse import urlsplit
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model_pipeline.errors import Forbidden, PromptlyError, TooLarge, Unavailable
from rag_service.api import problems
from rag_service.api.services import Limits

REQUEST_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
)
UPLOADS = "/v1/documents"


class Misdirected(PromptlyError):
    status = 421
    title = "Misdirected request"


class Guard:
    """Answers before the application where a request must not reach it."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                own = message["headers"]
                if not any(name == b"server-timing" for name, _ in own):
                    took = (time.perf_counter() - begun) * 1000
                    own = [*own, (b"server-timing", b"total;dur=%.2f" % took)]
                message["headers"] = [*own, *HEADERS, (b"x-request-id", request_id.encode())]
            await send(message)

        self._under_way += 1
        try:
            self._admit(headers, scope["path"])
            limited = _limited(receive, headers, self._body_limit(headers, scope["path"]))
            await self._app(scope, limited, send_with_headers)
        except Exception as error:
            if started:
                raise
            problem = problems.of(error, request_id)
            await problems.response(problem, error)(scope, receive, send_with_headers)
        finally:
            self._under_way -= 1

    def _admit(self, headers: dict[bytes, bytes], path: str) -> None:
        if not self._is_known(_host_name(headers.get(b"host", b"").decode("latin-1"))):
            # A page elsewhere that points its own name here could otherwise read a local service.
            raise Misdirected("This host name is not served: add it to PROMPTLY_ALLOWED_HOSTS.")
        origin = headers.get(b"origin")
        if origin is not None and not self._is_known(_origin_name(origin.decode("latin-1"))):
            # A browser sends some forms across sites without asking first.
            raise Forbidden(
                "A page of another site may not use this service: add its host to "
                "PROMPTLY_ALLOWED_HOSTS."
            )
        if self._under_way > self._limits.concurrency and path != "/healthz":
            raise Unavailable("Too many requests are under way: try again shortly.")

    def _is_known(self, host: str) -> bool:
        return "*" in self._limits.allowed_hosts or host in self._limits.allowed_hosts

    def _body_limit(self, headers: dict[bytes, bytes], path: str) -> int:
        multipart = headers.get(b"content-type", b"").lower().startswith(b"multipart/form-data")
        return (
            self._limits.upload_bytes if multipart and path == UPLOADS else self._limits.body_bytes
        )


def _host_name(host: str) -> str:
    return re.sub(r":\d+$", "", host).lower()


def _origin_name(origin: str) -> str:
    try:
        return _host_name(urlsplit(origin).netloc)
    except ValueError:
        return ""


def _limited(receive: Receive, headers: dict[bytes, bytes], limit: int) -> Receive:
    """`receive`, refusing a body over `limit` bytes: by its announced length, and as it comes."""
    length = headers.get(b"content-length", b"0")
    announced = int(length) if length.isdigit() and len(length) < 20 else 0
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
