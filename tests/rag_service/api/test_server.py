"""Over a real server: streaming as it comes, leaving early, bodies over the limit."""

from __future__ import annotations

import asyncio
import json
import resource
import select
import socket
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from model_pipeline.domain import Claim, Draft, Passage, Turn
from rag_service.answer import Delta
from rag_service.api.services import Services

NewServices = Callable[..., Services]
Serve = Callable[[Services], AbstractContextManager[str]]
QUESTION = {"question": "When?", "stream": True}


class Slow:
    """One delta, then nothing until `go`; notes when it is stopped."""

    def __init__(self) -> None:
        self.go, self.stopped = threading.Event(), threading.Event()

    async def stream(self, question: str, **_: Any) -> Any:
        try:
            yield Delta("first")
            while not self.go.is_set():  # noqa: ASYNC110 - set by another thread
                await asyncio.sleep(0.005)
            yield Delta("second")
        finally:
            self.stopped.set()


def test_pieces_arrive_as_they_are_made(new_services: NewServices, serve: Serve) -> None:
    slow = Slow()
    with (
        serve(new_services(answerer=slow)) as address,
        httpx.stream("POST", f"{address}/v1/answers", json=QUESTION, timeout=10) as response,
    ):
        pieces = response.iter_raw()
        assert b"first" in next(pieces)
        slow.go.set()
        assert b"second" in b"".join(pieces)


class Holding:
    """A generator that holds the event loop up, until `go`, as soon as it is asked."""

    name = "holding"

    def __init__(self) -> None:
        self.go = threading.Event()
        self.waited_for_nothing = False

    async def generate(
        self, question: str, passages: Sequence[Passage], history: Sequence[Turn]
    ) -> AsyncGenerator[Draft]:
        self.waited_for_nothing = not self.go.wait(5)
        yield Draft("Once. [1]", (Claim(1, 0, passages[0].content[:4]),))


@pytest.mark.parametrize("path", ["/v1/answers", "/v1/chat/completions"])
def test_what_was_found_leaves_before_the_generator_begins(
    path: str, new_services: NewServices, serve: Serve
) -> None:
    """Whatever the generator does at first: the first bytes are in the socket by then."""
    holding = Holding()
    asked: dict[str, Any] = QUESTION
    if path != "/v1/answers":
        message = {"role": "user", "content": "When?"}
        asked = {"model": "promptly", "messages": [message], "stream": True}
    with (
        serve(new_services(generator=holding)) as address,
        httpx.stream("POST", f"{address}{path}", json=asked, timeout=10) as response,
    ):
        pieces = response.iter_raw()
        first = next(pieces)
        assert b"event: passages" in first or b'"role":"assistant"' in first
        holding.go.set()
        assert b"Once." in b"".join(pieces)
    assert not holding.waited_for_nothing


def test_work_stops_when_its_reader_leaves(new_services: NewServices, serve: Serve) -> None:
    slow = Slow()
    with serve(new_services(answerer=slow)) as address:
        with httpx.stream("POST", f"{address}/v1/answers", json=QUESTION, timeout=10) as response:
            pieces = response.iter_raw()  # httpx closes the response with its iterator
            assert b"first" in next(pieces)
            assert not slow.stopped.is_set()
        assert slow.stopped.wait(5)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x"])
@pytest.mark.parametrize("path", ["/v1/search", "/v1/documents"])
def test_bodies_over_the_limit_are_refused_early(
    new_services: NewServices, serve: Serve, chunked: bool, kind: str, path: str
) -> None:
    """An endless body is refused at the limit, and the server goes on."""
    limits = {"body_bytes": 100_000, "upload_bytes": 300_000}
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.md"\r\n\r\n'
    start = head if "multipart" in kind else b'{"query": "'
    sent = 0
    with serve(new_services(limits=limits)) as address, _connected(address) as connection:
        length = "Transfer-Encoding: chunked" if chunked else "Content-Length: 1000000000"
        connection.sendall(
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n{length}"
            "\r\n\r\n".encode()
        )
        try:
            for piece in _pieces(start):
                frame = b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece
                connection.sendall(frame)
                sent += len(piece)
        except OSError:
            pass  # the server has closed the connection, as it may
        answer = _received(connection)
        assert b" 413 " in answer.split(b"\r\n")[0]
        assert b"application/problem+json" in answer
        assert httpx.get(f"{address}/healthz").status_code == 200
        assert sent < 100_000_000


def test_an_upload_of_a_gigabyte_is_refused_while_it_comes(
    new_services: NewServices, serve: Serve
) -> None:
    piece = b"f4240\r\n" + b"a" * 1_000_000 + b"\r\n"
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.md"\r\n\r\n'
    sent = 0
    limits = {"upload_bytes": 5_000_000}
    with serve(new_services(limits=limits)) as address, _connected(address) as connection:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        connection.sendall(
            b"POST /v1/documents HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n%x\r\n%b\r\n" % (len(head), head)
        )
        while sent < 1000 and not select.select([connection], [], [], 0)[0]:
            connection.sendall(piece)
            sent += 1
        answer = _received(connection)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert b" 413 " in answer.split(b"\r\n")[0]
    assert b"over 5,000,000 bytes" in answer
    assert sent < 100
    assert grown < 50_000  # kilobytes


def _connected(address: str) -> socket.socket:
    parts = urlsplit(address)
    assert parts.hostname and parts.port
    connection = socket.create_connection((parts.hostname, parts.port), timeout=5)
    connection.setblocking(True)
    return connection


def _pieces(start: bytes) -> Iterator[bytes]:
    """Slowly enough that the server can answer before everything has been sent."""
    yield start
    for _ in range(40):
        time.sleep(0.002)
        yield b"a" * 20_000


def _received(connection: socket.socket) -> bytes:
    connection.settimeout(5)
    answer = b""
    try:
        while piece := connection.recv(65536):
            answer += piece
            if b"}" in answer:
                break
    except OSError:
        pass
    return answer


def test_a_header_of_raw_bytes_fails_nothing(new_services: NewServices, serve: Serve) -> None:
    body = json.dumps({"query": "a"}).encode()
    with serve(new_services()) as address, _connected(address) as connection:
        connection.sendall(
            b"POST /v1/search?\xff=\xfe HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Request-Id: \xff\xfe\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        status = int(_received(connection).split(b" ")[1])
    assert status in (200, 400)


def test_half_a_request_holds_nothing_up(new_services: NewServices, serve: Serve) -> None:
    with serve(new_services()) as address:
        with _connected(address) as connection:
            connection.sendall(b"POST /v1/documents HTTP/1.1\r\nHost: 127.0.0.1\r\n")
            connection.sendall(b"Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{")
        reply = httpx.post(f"{address}/v1/documents", json={"source": "a.md", "text": "a"})
        assert reply.status_code == 200
