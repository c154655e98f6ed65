"""What stands around a search: the whole application against the bare endpoint, in turns.

    .venv/bin/python -m benchmarks.overhead

Without sockets, embedder and database: these are the same on both sides.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import uvloop
from starlette.types import Message, Scope

from model_pipeline.domain import Passage, SearchResult
from promptly import logs
from rag_service.api.app import create_app
from rag_service.api.limits import Limits
from rag_service.api.replies import encoded
from rag_service.api.schemas import SearchRequest, from_result
from rag_service.api.services import Services

ROUNDS, BLOCK = 40, 100
BODY = json.dumps({"query": "When are default parameter values evaluated?", "k": 10}).encode()
PASSAGE = Passage(
    UUID(int=1), UUID(int=2), "a.md", "Functions", ("Functions",), "Defaults are evaluated. " * 40,
    {"lang": "en"}, 10, 0.5, 0.5, 1.5,
)  # fmt: skip
FOUND = SearchResult((PASSAGE,) * 10, True, {"embed": 1.0, "search": 2.0, "total": 3.0})


class Found:
    async def retrieve(self, query: str, **_: Any) -> SearchResult:
        return FOUND


async def bare(_scope: Scope, receive: Any, send: Any) -> None:
    """What no service of this interface could leave out: parse, validate, encode."""
    SearchRequest.model_validate_json((await receive())["body"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": encoded(from_result(FOUND))})


def scope() -> Scope:
    return {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
        "method": "POST", "scheme": "http", "path": "/v1/search", "raw_path": b"/v1/search",
        "query_string": b"", "root_path": "", "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "headers": [
            (b"host", b"127.0.0.1:8000"), (b"content-type", b"application/json"),
            (b"content-length", str(len(BODY)).encode()),
        ],
    }  # fmt: skip


async def ask(app: Any) -> float:
    async def receive() -> Message:
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def send(_message: Message) -> None:
        pass

    started = time.perf_counter()
    await app(scope(), receive, send)
    return (time.perf_counter() - started) * 1e6


async def measure() -> None:
    none: Any = None  # not asked for anything
    limits = Limits(rate_per_minute=100_000_000, concurrency_per_caller=20)
    sides: dict[str, Any] = {"bare": bare}
    for name, limited in (("without limits", Limits()), ("with limits", limits)):
        services = Services(Found(), *[none] * 11, limits=limited)
        sides[name] = create_app(services)
    times: dict[str, list[float]] = {name: [] for name in sides}
    for round_ in range(ROUNDS):
        for name, app in sides.items():
            block = [await ask(app) for _ in range(BLOCK)]
            if round_ >= 5:
                times[name] += block
    for name, taken in times.items():
        print(f"{name:20} {statistics.median(taken):7.1f} us a search, p50")


if __name__ == "__main__":
    with (
        Path("/dev/null").open("w") as nowhere,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        logs.configure("info", nowhere)
        runner.run(measure())
