"""A web site of one's own: what it answers is a dictionary, and what it was asked is noted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HTML = "text/html; charset=utf-8"


@dataclass
class Website:
    """`pages` has path: (status, media type, body), or an address to redirect to. `asked` notes
    paths, `agents` their User-Agent; `most` is how many were asked at once."""

    url: str = ""
    pages: dict[str, tuple[int, str, bytes] | str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)
    delay_s: float = 0.0
    most: int = 0
    now: int = 0

    def put(self, path: str, body: str | bytes, *, kind: str = HTML, status: int = 200) -> None:
        whole = body.encode() if isinstance(body, str) else body
        self.pages[path] = (status, kind, whole)

    def sitemap(self, path: str, *pages: str, index: bool = False) -> None:
        outer, inner = ("sitemapindex", "sitemap") if index else ("urlset", "url")
        whole = (page if "://" in page else self.url + page for page in pages)
        entries = "".join(f"<{inner}><loc>{page}</loc></{inner}>" for page in whole)
        space = "http://www.sitemaps.org/schemas/sitemap/0.9"
        self.put(path, f'<?xml version="1.0"?><{outer} xmlns="{space}">{entries}</{outer}>')


@contextmanager
def website(host: str = "127.0.0.1") -> Iterator[Website]:
    site = Website()
    turn = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            with turn:
                site.asked.append(self.path)
                site.agents.add(self.headers["User-Agent"])
                site.now += 1
                site.most = max(site.most, site.now)
            time.sleep(site.delay_s)
            found = site.pages.get(self.path, (404, HTML, b"Nothing is here."))
            status, kind, body = (302, HTML, b"") if isinstance(found, str) else found
            with turn:
                site.now -= 1
            self.send_response(status)
            if isinstance(found, str):
                self.send_header("Location", found)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None: ...  # whoever hangs up

    with Server((host, 0), Handler) as server:
        site.url = f"http://{host}:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()
