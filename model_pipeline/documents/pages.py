"""A source of web pages: a few fetched at once, in order, as each server's robots.txt allows."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from threading import Lock
from typing import Any
from urllib.parse import urlsplit
from urllib.robotparser import RobotFileParser

import httpx

from model_pipeline.documents.found import Failed, Found, ReadLimits
from model_pipeline.documents.sitemap import pages_of
from model_pipeline.documents.web import AGENT, AT_ONCE, NotFetched, fetch, get, open_client
from model_pipeline.errors import UnreadableDocument

# What a server may ask for between two pages at most: else a large site would take days.
LONGEST_DELAY_S = 10.0
# Of one refresh: other sources wait meanwhile.
LONGEST_S = 7_200.0
# Of a robots.txt; what RFC 9309 asks to be read at least.
ROBOTS_BYTES = 512_000


def web_pages(
    settings: Mapping[str, Any], *, limits: ReadLimits, public_only: bool
) -> Iterator[Found | Failed]:
    """The pages of {"sitemap": url} or {"urls": [...]}. Raises UnreadableDocument where the sitemap
    cannot be had."""
    with open_client(limits, public_only=public_only) as client:
        if "sitemap" in settings:
            robots = Robots(client, limits)
            yield from _fetched(
                client, pages_of(client, settings["sitemap"], limits), limits, robots
            )
        else:  # a person named each of them: no robot goes there
            yield from _fetched(client, list(dict.fromkeys(settings["urls"])), limits, None)


def _fetched(
    client: httpx.Client, urls: Sequence[str], limits: ReadLimits, robots: Robots | None
) -> Iterator[Found | Failed]:
    def one(url: str) -> Found | Failed:
        if robots is not None and (refusal := robots.refusal(url)):
            return Failed(url, refusal, url, keeps="document")
        return fetch(client, url, limits)

    left = iter(urls)
    deadline = time.monotonic() + LONGEST_S
    threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="fetch")
    try:
        under_way: deque[Future[Found | Failed]] = deque(
            threads.submit(one, url) for url in islice(left, AT_ONCE)
        )
        while under_way:
            done = under_way.popleft().result()
            under_way.extend(threads.submit(one, url) for url in islice(left, 1))
            yield done
            if under_way and time.monotonic() > deadline:
                raise UnreadableDocument(
                    f"Its {len(urls):,} pages take longer than {LONGEST_S / 3600:g} h: add fewer "
                    "as a source of their own."
                )
    finally:
        threads.shutdown(cancel_futures=True)


class Robots:
    """What each server's robots.txt allows, and how much time it asks for between two pages."""

    def __init__(self, client: httpx.Client, limits: ReadLimits) -> None:
        self._client = client
        self._limits = limits
        self._rules: dict[str, RobotFileParser | str] = {}
        self._next: dict[str, float] = {}
        self._turn = Lock()

    def refusal(self, url: str) -> str | None:
        """Why a page may not be fetched; None where it may, when its turn has come."""
        server = "{0.scheme}://{0.netloc}".format(urlsplit(url))
        with self._turn:
            if server not in self._rules:
                self._rules[server] = self._read(f"{server}/robots.txt")
            rules = self._rules[server]
            if isinstance(rules, str):
                return f"{url} is not fetched: {rules}"
            if not rules.can_fetch(AGENT, url):
                return f"{url} is not fetched: {server}/robots.txt forbids it."
            delay = min(float(rules.crawl_delay(AGENT) or 0), LONGEST_DELAY_S)
            at = max(time.monotonic(), self._next.get(server, 0.0))
            self._next[server] = at + delay
        time.sleep(max(0.0, at - time.monotonic()))
        return None

    def _read(self, url: str) -> RobotFileParser | str:
        """RFC 9309: without the file all is allowed, and nothing while it cannot be had."""
        rules = RobotFileParser()
        try:
            content, _ = get(self._client, url, self._limits)
        except NotFetched as error:
            if error.answer is None or error.answer >= 500:
                return error.message
            content = b""
        rules.parse(content[:ROBOTS_BYTES].decode("utf-8", "replace").splitlines())
        return rules
