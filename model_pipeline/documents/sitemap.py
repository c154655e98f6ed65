"""Sitemaps (sitemaps.org): the pages they name, through indexes and gzip, without entities."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from urllib.parse import urldefrag
from xml.parsers import expat

import httpx

from model_pipeline.documents.found import ReadLimits
from model_pipeline.documents.web import get
from model_pipeline.errors import UnreadableDocument

MAX_PAGES = 50_000
MAX_SITEMAPS = 500
# Unpacked; what the protocol allows.
MAX_BYTES = 50_000_000
# Past it no address is meant: what the protocol allows.
MAX_URL = 2_048


def pages_of(client: httpx.Client, url: str, limits: ReadLimits) -> list[str]:
    """The pages that a sitemap names, and those that it names, each once and in order. Raises
    UnreadableDocument where one of them cannot be had: then it is not known what is gone."""
    pages: dict[str, None] = {}
    sitemaps = {url: None}
    done = 0
    while done < len(sitemaps):
        at = list(sitemaps)[done]
        done += 1
        for kind, found in _entries(at, _unpacked(at, get(client, at, limits)[0])):
            into = sitemaps if kind == "sitemap" else pages
            into[urldefrag(found).url] = None
        if len(sitemaps) > MAX_SITEMAPS or len(pages) > MAX_PAGES:
            raise UnreadableDocument(
                f"{url} names over {MAX_PAGES:,} pages or {MAX_SITEMAPS} sitemaps: add some of "
                "its sitemaps as sources of their own."
            )
    if not pages:
        raise UnreadableDocument(f"{url} names no page.")
    return list(pages)


def _unpacked(url: str, content: bytes) -> bytes:
    if not content.startswith(b"\x1f\x8b"):
        return content
    unpack = zlib.decompressobj(wbits=31)
    try:
        whole = unpack.decompress(content, MAX_BYTES)
    except zlib.error as error:
        raise UnreadableDocument(f"{url} is a damaged gzip file.") from error
    if unpack.unconsumed_tail:
        raise UnreadableDocument(f"{url} unpacks to over {MAX_BYTES:,} bytes.")
    if not unpack.eof:
        raise UnreadableDocument(f"{url} is a damaged gzip file.")
    return whole


def _entries(url: str, content: bytes) -> Iterator[tuple[str, str]]:
    """("sitemap" or "url", address) for each entry of a `sitemapindex` or a `urlset`."""
    path: list[str] = []
    found: list[tuple[str, list[str]]] = []

    def start(name: str, _: object) -> None:
        path.append(name.rpartition(" ")[2])
        if path in (["sitemapindex", "sitemap", "loc"], ["urlset", "url", "loc"]):
            found.append((path[1], []))
            if len(found) > MAX_PAGES:  # before all of a hostile one is held
                raise UnreadableDocument(f"{url} has over {MAX_PAGES:,} entries: split it.")

    def text(data: str) -> None:
        if len(path) == 3 and path[2] == "loc" and found:
            found[-1][1].append(data)

    def refuse(*_: object) -> None:
        raise UnreadableDocument(f"{url} defines entities, which no sitemap needs.")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: path.pop()
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise UnreadableDocument(f"{url} is no sitemap: it is not XML ({error}).") from error
    if not found:
        raise UnreadableDocument(f"{url} is no sitemap: it has no <urlset> or <sitemapindex>.")
    for kind, parts in found:
        address = "".join(parts).strip()
        if not address.startswith(("http://", "https://")) or len(address) > MAX_URL:
            raise UnreadableDocument(f"{url} names {address[:200]!r}, which is no web address.")
        yield kind, address
