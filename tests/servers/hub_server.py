"""A Hub of one's own, for the real huggingface_hub: repositories, uploads of what is large, commits
with their parent checked, tags, downloads through another host as from a CDN, and tokens, also
those that a CI job gets for its identity. It fails at any step where it is told to.

The client reads HF_ENDPOINT and HF_HUB_DISABLE_XET when it is imported; tests/conftest.py sets the
second, and what takes an endpoint is given `hub.url`.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit
from uuid import uuid4

from tests.servers import hub_routes
from tests.servers.hub_oidc import Identities
from tests.servers.hub_repos import Objects, Refused, Repo, new_repo
from tests.servers.hub_routes import Reply

TOKEN = "hf_" + "w" * 34
READ_TOKEN = "hf_" + "r" * 34
CUT = "cut"


@dataclass(frozen=True)
class Grant:
    """What a token may do; `repo` is the only one that it may write to, where there is one."""

    writes: bool
    repo: str | None = None


@dataclass
class Fault:
    """`what` is a status, CUT (the connection ends), seconds that it takes longer, or None.
    `after`: what was asked is done all the same. `reached` and `go`: it waits there, while a test
    kills who asks, or does something in between."""

    what: int | str | float | None
    after: bool = False
    reached: threading.Event = field(default_factory=threading.Event)
    go: threading.Event | None = None


@dataclass
class Hub:
    """`asked` notes the steps that were asked for, by the names in hub_routes.ROUTES; `page` is how
    many commits or files it lists at once."""

    objects: Objects
    url: str = ""
    cdn: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    tokens: dict[str, Grant] = field(
        default_factory=lambda: {TOKEN: Grant(writes=True), READ_TOKEN: Grant(writes=False)}
    )
    identities: Identities = field(default_factory=Identities)
    asked: list[str] = field(default_factory=list)
    parts: dict[str, Path] = field(default_factory=dict)
    page: int = 50
    turn: threading.RLock = field(default_factory=threading.RLock)
    _faults: dict[str, deque[Fault]] = field(default_factory=dict)

    def fail(
        self, step: str, what: int | str | float, *, times: int = 1, after: bool = False
    ) -> None:
        """At `step`, the next so many times."""
        due = self._faults.setdefault(step, deque())
        due.extend(Fault(what, after) for _ in range(times))

    def hold(self, step: str, *, after: bool = False, then: str | None = None) -> Fault:
        """At the next `step` it waits until `go` is set, and goes on, or hangs up with CUT."""
        held = Fault(then, after, go=threading.Event())
        self._faults.setdefault(step, deque()).append(held)
        return held

    def mend(self) -> None:
        self._faults.clear()

    def fault(self, step: str) -> Fault | None:
        due = self._faults.get(step)
        return due.popleft() if due else None

    def repo(self, name: str) -> Repo:
        return self.repos[name]

    def create(self, name: str, *, private: bool = False) -> Repo:
        self.repos[name] = new_repo(name, private=private, objects=self.objects)
        return self.repos[name]

    def content(self, name: str, revision: str, path: str) -> bytes:
        return self.objects.path(self.repo(name).at(revision).files[path].sha256).read_bytes()

    def grant(self, *, repo: str) -> str:
        """A token that may write there alone."""
        token = f"hf_jwt_{uuid4().hex}"
        self.tokens[token] = Grant(writes=True, repo=repo)
        return token

    def allow(self, token: str | None, repo: Repo, *, write: bool) -> None:
        """In the Hub's own words: what may not be seen is not found, or wants a token."""
        if token is not None and token not in self.tokens:
            raise Refused(401, "Invalid credentials in Authorization header")
        grant = self.tokens[token] if token else None
        sees = not repo.private or (grant is not None and grant.repo in (None, repo.name))
        if not sees or (write and grant is None):
            raise Refused(
                401, "Invalid username or password.", "RepoNotFound" if not sees else None
            )
        if write and grant and not (grant.writes and grant.repo in (None, repo.name)):
            raise Refused(403, "You don't have the rights to update this repository")


class _HungUp(Exception):
    pass


class _Told(Exception):
    """That it is down."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer is one packet: a second would wait for the first to be acknowledged.
    wbufsize = 2**16
    disable_nagle_algorithm = True

    def __init__(self, hub: Hub, *given: Any) -> None:
        self.hub = hub
        super().__init__(*given)

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        self.query = {name: found[-1] for name, found in parse_qs(parts.query).items()}
        step, respond, named = hub_routes.route(self.command, unquote_parts(parts.path))
        self.hub.asked.append(step)
        fault = self.hub.fault(step)
        body: Any = self._chunks() if step == "put" else b"".join(self._chunks())
        try:
            if fault and not fault.after:
                if step == "put":
                    body = list(body)
                self._fail(fault)
            reply = self._responded(respond, named, body)
            if fault and fault.after:
                self._fail(fault)
        except _HungUp:
            self.close_connection = True
        except _Told:
            return
        else:
            self._send(reply)

    def _responded(self, respond: Callable[..., Reply], named: dict[str, str], body: Any) -> Reply:
        alone = self.hub.turn if respond is not hub_routes.put else nullcontext()
        try:
            with alone:  # but what is uploaded, nobody waits for
                return respond(self.hub, self, body=body, **named)
        except Refused as refused:
            return _refusal(refused)

    def _fail(self, fault: Fault) -> None:
        fault.reached.set()
        if fault.go is not None:
            fault.go.wait(60)
        if isinstance(fault.what, float):
            time.sleep(fault.what)
        elif fault.what == CUT:
            raise _HungUp
        elif isinstance(fault.what, int):
            self._send(Reply(b"<html>It is down.</html>", fault.what))
            raise _Told

    def _chunks(self) -> Iterator[bytes]:
        """The request's body. Ends early where who sends it does."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left and (chunk := self.rfile.read(min(left, 2**20))):
            left -= len(chunk)
            yield chunk
        if left:
            raise _HungUp

    def _send(self, reply: Reply) -> None:
        body, kind = reply.body, "application/octet-stream"
        if not isinstance(body, bytes | tuple):
            body, kind = json.dumps(body).encode(), "application/json; charset=utf-8"
        length = len(body) if isinstance(body, bytes) else body[2]
        headers = {"Content-Type": kind, "Content-Length": str(length)} | reply.headers
        self.send_response(reply.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if isinstance(body, bytes):
            self.wfile.write(body)
            return
        path, first, count = body
        with path.open("rb") as file:
            file.seek(first)
            self.wfile.write(file.read(count))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _answer

    def log_message(self, *_: object) -> None: ...


def unquote_parts(path: str) -> str:
    """Slashes that are quoted belong to a name: `refs%2Fpr%2F1` stays one part."""
    return "/".join(quote(unquote(part), safe=":@+~!$'()*,;=") for part in path.split("/"))


def _refusal(refused: Refused) -> Reply:
    headers = {"X-Error-Message": refused.said.replace("\n", " ")}
    if refused.code:
        headers["X-Error-Code"] = refused.code
    return Reply({"error": refused.said, **refused.more}, refused.status, headers)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None: ...  # whoever hangs up


@contextmanager
def running(folder: Path) -> Iterator[Hub]:
    """On a free port; what is uploaded is kept in `folder`."""
    hub = Hub(Objects(folder))
    with _Server(("127.0.0.1", 0), partial(_Handler, hub)) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        hub.cdn = f"http://localhost:{server.server_port}"  # for the client, another host
        hub.identities.hub = hub.url
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
