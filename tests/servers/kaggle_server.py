"""Kaggle, as far as training runs meet it, for Kaggle's own client over HTTP: datasets that take a
while to be processed, kernels that really run the notebook that was pushed in a clean environment,
their statuses, logs and files, the quota; and all its ways to fail, on demand.

The client is pointed here by KAGGLE_API_ENVIRONMENT=LOCALHOST and a proxy for HTTP: that is the one
way there is, and so requests come with whole addresses.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.servers.kaggle_account import (
    KEY,
    OWNER,
    TOKEN,
    Account,
    Answered,
    Fault,
    Json,
    State,
    refused,
)


def page(status: int) -> Fault:
    """An answer in HTML, as a proxy gives it before Kaggle has seen the request."""

    def fault(_: Callable[[], Json]) -> Json:
        raise Answered(status, b"<!DOCTYPE html><title>Sorry</title>")

    return fault


def denied(_: Callable[[], Json]) -> Json:
    raise refused(403, "Permission 'kernels.get' was denied")


def lost(call: Callable[[], Json]) -> Json:
    """It is done, and the answer gets lost."""
    with suppress(Answered):
        call()
    raise Answered(0, None)


def says(**fields: Any) -> Fault:
    """Nothing is done, and the answer with status 200 says so."""
    return lambda _: fields


def hangs(seconds: float) -> Fault:
    def fault(_: Callable[[], Json]) -> Json:
        time.sleep(seconds)
        raise Answered(0, None)

    return fault


def kills(pid: Callable[[], int], *, first: bool) -> Fault:
    """The process that asks dies: before it is done, or before it hears of it."""

    def fault(call: Callable[[], Json]) -> Json:
        with suppress(Answered):
            if not first:
                call()
        os.kill(pid(), signal.SIGKILL)
        raise Answered(0, None)

    return fault


class Server(ThreadingHTTPServer):
    daemon_threads = True
    state: State

    def handle_error(self, *of: Any) -> None:
        """A client that dies is no fault of the server."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(*of)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        if hasattr(socket, "TCP_QUICKACK"):  # else the client sends what follows 40 ms later
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        found = re.fullmatch(r"/api/v1/[\w.]+/(\w+)", path)
        if not found:
            return self._send(404, b"", "text/html")
        try:
            if found[1] != "IntrospectToken" and not self._known():
                raise refused(401, "Unauthenticated")
            self._send_json(self._answer(found[1], json.loads(body or b"{}")))
        except Answered as answer:
            self._send(answer.status, answer.content, answer.kind)

    def do_PUT(self) -> None:
        """A blob."""
        token = urlsplit(self.path).path.rpartition("/")[2]
        if "chunked" in self.headers.get("transfer-encoding", ""):
            content = b"".join(self._pieces())
        else:
            content = self.rfile.read(int(self.headers["content-length"]))

        def store() -> Json:
            state = self.server.state
            state.blobs[token] = (state.blobs[token][0], content)
            return {}

        try:
            self._send_json(self._faulty("PUT", store))
        except Answered as answer:
            self._send(answer.status, answer.content, answer.kind)

    def do_GET(self) -> None:
        """A file that a kernel left."""
        _, kind, slug, *parts = unquote(urlsplit(self.path).path).split("/")
        state = self.server.state
        name = "/".join(parts)

        def read() -> Json:
            if kind != "output" or slug not in state.kernels:
                raise refused(404, "Not found")
            extra = state.outputs.get(name)
            path = state.kernels[slug].folder / "working" / name
            content = path.read_bytes() if extra is None else extra
            raise Answered(200, content, "application/octet-stream")

        try:
            self._send_json(self._faulty("GET", read))
        except Answered as answer:
            self._send(answer.status, answer.content, answer.kind)

    def _pieces(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _answer(self, method: str, body: Json) -> Json:
        if method == "GetKernelSessionLogsStream":
            return self._faulty(method, lambda: self._stream(body), body)
        return self._faulty(method, lambda: getattr(Account(self.server.state), method)(body), body)

    def _faulty(self, method: str, call: Callable[[], Json], body: Json | None = None) -> Json:
        state = self.server.state
        with state.lock:
            fault = state.at.pop(len(state.asked), None)
            state.asked.append((method, body or {}))
            if fault is None and state.faults[method]:
                fault = state.faults[method].popleft()
        return fault(call) if fault else call()

    def _stream(self, body: Json) -> Json:
        """While it runs as events, then as one file."""
        kernel = Account(self.server.state).kernel(body)
        if kernel.over:
            raise Answered(200, json.dumps(kernel.log()).encode(), "application/json")
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        told, over = 0, False
        while not over:
            over = kernel.over
            for event in kernel.log()[told:]:
                self._chunk(b"data: " + json.dumps(event).encode() + b"\n\n")
                told += 1
            time.sleep(0.02)
        self._chunk(b"data: END_OF_LOG\n\n")
        self._chunk(b"")
        raise Answered(0, None)

    def _chunk(self, content: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))
        self.wfile.flush()

    def _known(self) -> bool:
        basic = base64.b64encode(f"{OWNER}:{KEY}".encode()).decode()
        return self.headers.get("authorization") in (f"Bearer {TOKEN}", f"Basic {basic}")

    def _send_json(self, answer: Json) -> None:
        self._send(200, json.dumps(answer).encode(), "application/json")

    def _send(self, status: int, content: bytes | None, kind: str) -> None:
        self.close_connection = content is None
        if content is None:
            return
        with suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def running(folder: Path) -> Iterator[State]:
    server = Server(("127.0.0.1", 0), _Handler)
    server.state = State(folder, url=f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.state
    finally:
        for kernel in server.state.kernels.values():
            kernel.end()
        server.shutdown()
        server.server_close()
        shutil.rmtree(folder, ignore_errors=True)


def variables(state: State) -> dict[str, str]:
    """By which Kaggle's client comes here."""
    return {
        "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
        "HTTP_PROXY": state.url, "http_proxy": state.url,
        "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1",  # whatever else listens there
        "KAGGLE_USERNAME": OWNER, "KAGGLE_KEY": KEY,
    }  # fmt: skip
