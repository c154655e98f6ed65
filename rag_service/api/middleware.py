"""Around every request, as plain ASGI: who may ask, how much at once, its id, line in the log and
place in the metrics, last resort."""

from __future__ import annotations

import asyncio
import re
import time
from urllib.parse import urlsplit
from uuid import uuid4

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, reset_contextvars

from model_pipeline.errors import Forbidden, PromptlyError, Unavailable
from rag_service.api import problems
from rag_service.api.clients import Client
from rag_service.api.limits import BUSY, KINDS, OTHER, Admission, Drain, Limits, Visit
from rag_service.api.metrics import METHODS, Metrics

REQUEST_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
)
UPLOADS = "/v1/documents"
# Asked every few seconds by machines: never refused for being many, and not worth a line each.
QUIET = frozenset(("/healthz", "/readyz", "/metrics"))
CLIENT_LEFT = 499  # nginx' number for it
log = structlog.get_logger()


class Misdirected(PromptlyError):
    status = 421
    title = "Misdirected request"


class Guard:
    """Answers before the application where a request must not reach it, and notes each reply."""

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        admission: Admission,
        metrics: Metrics,
        drain: Drain,
    ) -> None:
        self._app = app
        self._drain = drain
        self._limits = limits
        self._admission = admission
        self._metrics = metrics
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid4().hex
        kind = KINDS.get((scope["method"], scope["path"]), OTHER)
        address = scope["client"][0] if scope.get("client") else ""
        visit = Visit(self._admission, kind, request_id, address)
        state = scope.setdefault("state", {})
        state["request_id"], state["visit"] = request_id, visit
        client = Client(receive, headers, self._body_limit(headers, scope["path"]))
        status = CLIENT_LEFT

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                client.is_answered = True
                status = message["status"]
                own = message["headers"]
                if not any(name == b"server-timing" for name, _ in own):
                    took = (time.perf_counter() - begun) * 1000
                    own = [*own, (b"server-timing", b"total;dur=%.2f" % took)]
                message["headers"] = [
                    *own, *HEADERS, *visit.headers, (b"x-request-id", request_id.encode())
                ]  # fmt: skip
            await send(message)

        # In every line that is logged meanwhile, by whomever; acting_for tells who asks.
        told = bind_contextvars(request_id=request_id, caller=None)
        self._under_way += 1
        try:
            self._admit(headers, scope["path"])
            if kind.stops:
                client.stop_when_it_leaves()
            await self._app(scope, client.receive, send_with_headers)
        except asyncio.CancelledError:
            if not client.has_left():
                if not self._drain.begun or client.is_answered:
                    raise
                problem = problems.of(
                    Unavailable("The service is stopping: ask again."), request_id
                )
                await problems.response(problem)(scope, receive, send_with_headers)
        except Exception as error:
            if client.is_answered:
                raise
            problem = problems.of(error, request_id)
            await problems.response(problem, error)(scope, receive, send_with_headers)
        finally:
            self._under_way -= 1
            client.forget()
            visit.leave()
            self._note(scope, visit, status, time.perf_counter() - begun)
            reset_contextvars(**told)

    def _note(self, scope: Scope, visit: Visit, status: int, seconds: float) -> None:
        """By the route's template: what stands in a path is somebody's."""
        route = getattr(scope.get("route"), "path", "other")
        self._metrics.request(scope["method"], route, status, seconds)
        if route not in QUIET or status >= 500:
            log.info(
                "request",
                request_id=visit.request_id,
                method=scope["method"] if scope["method"] in METHODS else "other",
                route=route,
                status=status,
                ms=round(seconds * 1000, 2),
                caller=visit.alias,
            )

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
        if self._under_way > self._limits.concurrency and path not in QUIET:
            raise Unavailable(BUSY, retry_after_s=1)

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
