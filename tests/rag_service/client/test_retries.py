"""What is sent again, how often, and after how long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from rag_service.client import (
    Client,
    Forbidden,
    ServiceError,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from tests.rag_service.client.waiting import WaitingClient

COLLECTIONS = b'{"collections": [], "details": [], "timings_ms": {}}'
Refusals = list[tuple[int, str | None]]


@contextmanager
def refusing(refusals: Refusals) -> Iterator[tuple[str, list[str]]]:
    """A server that refuses with each (status, Retry-After) in turn, and then answers; gives its
    address and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            status, wait = refusals[len(asked)] if len(asked) < len(refusals) else (200, None)
            asked.append(self.command)
            body = COLLECTIONS if status == 200 else b'{"title": "No", "detail": "Not now."}'
            self.send_response(status)
            if wait is not None:
                self.send_header("Retry-After", wait)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(params=[Client, WaitingClient], ids=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Callable[..., Client]:
    made: Callable[..., Client] = request.param
    return made


def test_reading_waits_as_long_as_it_is_told(connect: Callable[..., Client]) -> None:
    started = time.monotonic()
    with refusing([(503, "1"), (429, "0")]) as (address, asked), connect(address) as client:
        assert client.collections().collections == []
    assert asked == ["GET"] * 3
    assert time.monotonic() - started >= 1


def test_there_is_an_end_to_it(connect: Callable[..., Client]) -> None:
    for retries, error in ((2, Unavailable), (0, Unavailable)):
        with (
            refusing([(503, "0")] * 9) as (address, asked),
            connect(address, retries=retries) as client,
            pytest.raises(error, match="Not now") as caught,
        ):
            client.collections()
        assert len(asked) == 1 + retries
        assert caught.value.retry_after_s == 0


@pytest.mark.parametrize(
    ("status", "wait", "kind"),
    [
        (503, None, Unavailable),  # nobody says when
        (503, "3600", Unavailable),  # too long to be waited for here
        (503, "soon", Unavailable),
        (429, "Wed, 21 Oct 2026 07:28:00 GMT", TooManyRequests),
        (500, "0", ServiceError),
        (401, "0", Unauthorized),
        (403, "0", Forbidden),
    ],
)
def test_nothing_else_is_sent_again(
    connect: Callable[..., Client], status: int, wait: str | None, kind: type[ServiceError]
) -> None:
    with (
        refusing([(status, wait)] * 9) as (address, asked),
        connect(address) as client,
        pytest.raises(kind) as caught,
    ):
        client.collections()
    assert type(caught.value) is kind
    assert len(asked) == 1


CHANGES: list[Callable[[Client], Any]] = [
    lambda client: client.add_text("a", source="a"),
    lambda client: client.upload([("a", b"a")]),
    lambda client: client.create_collection("a"),
    lambda client: client.delete_collection("a"),
    lambda client: client.add_source("web", {}),
    lambda client: client.retry_job(1),
]
READS: list[Callable[[Client], Any]] = [
    lambda client: client.search("a"),
    lambda client: client.ask("a"),
    lambda client: client.document("a"),
    lambda client: client.set_member("a", "b", "reader"),
]


@pytest.mark.parametrize(
    ("call", "times"), [*((one, 1) for one in CHANGES), *((one, 3) for one in READS)]
)
def test_only_what_can_be_repeated_is_sent_again(
    connect: Callable[..., Client], call: Callable[[Client], Any], times: int
) -> None:
    with (
        refusing([(503, "0")] * 9) as (address, asked),
        connect(address) as client,
        pytest.raises(Unavailable),
    ):
        call(client)
    assert len(asked) == times
