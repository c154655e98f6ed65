"""Pages of the web from real servers: through sitemaps, politely, and within the public web."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from model_pipeline.documents import pages, sitemap
from model_pipeline.documents.found import Failed, Found, ReadLimits
from model_pipeline.documents.public_web import PublicWeb, is_public
from model_pipeline.documents.sources import find
from model_pipeline.documents.web import AT_ONCE, fetch
from model_pipeline.errors import UnreadableDocument
from tests.servers.website import Website, website

LIMITS = ReadLimits(file_bytes=100_000, seconds=5, url_seconds=5)


@pytest.fixture
def site() -> Iterator[Website]:
    with website() as made:
        yield made


def found(settings: dict[str, Any], *, trusted: bool = True) -> dict[str, Found | Failed]:
    items = find("web", settings, origin="source:1", limits=LIMITS, trusted=trusted, storage=None)
    return {item.source: item for item in items}


def reason(item: Found | Failed) -> str:
    assert isinstance(item, Failed)
    return item.reason


def test_a_sitemap_of_sitemaps_of_pages(site: Website) -> None:
    site.sitemap("/sitemap.xml", "/one.xml", "/two.xml.gz", "/sitemap.xml", index=True)
    site.sitemap("/one.xml", "/a", "/b#part", "/b")
    site.sitemap("/two.xml", "/c.md")
    site.put("/two.xml.gz", gzip.compress(site.pages.pop("/two.xml")[2]))  # type: ignore[arg-type]
    for path in "/a", "/b", "/c.md":
        site.put(path, f"<p>Page {path}")
    read = found({"sitemap": f"{site.url}/sitemap.xml"})
    assert list(read) == [f"{site.url}{path}" for path in ("/a", "/b", "/c.md")]
    assert [item.format for item in read.values() if isinstance(item, Found)] == [
        "html", "html", "markdown",
    ]  # fmt: skip
    assert {item.origin for item in read.values()} == {"source:1"}
    assert sorted(site.asked) == sorted(
        ["/sitemap.xml", "/one.xml", "/two.xml.gz", "/robots.txt", "/a", "/b", "/c.md"]
    )
    (agent,) = site.agents
    assert agent.startswith("Promptly/")


def test_a_few_are_fetched_at_once_in_order(site: Website) -> None:
    urls = [f"{site.url}/{n}" for n in range(20)]
    for n in range(20):
        site.put(f"/{n}", str(n))
    site.delay_s = 0.1
    started = time.monotonic()
    assert list(found({"urls": [*urls, urls[0]]})) == urls
    assert 1 < site.most <= AT_ONCE
    assert time.monotonic() - started < 20 * site.delay_s
    assert len(site.asked) == 20


def test_robots_are_obeyed_for_a_sitemaps_pages_alone(site: Website) -> None:
    site.sitemap("/sitemap.xml", "/open", "/private/a")
    site.put("/robots.txt", "User-agent: promptly\nDisallow: /private/\nCrawl-delay: 0.5\n")
    for path in "/open", "/private/a":
        site.put(path, "text")
    read = found({"sitemap": f"{site.url}/sitemap.xml"})
    refused = read[f"{site.url}/private/a"]
    assert reason(refused).endswith("/robots.txt forbids it.")
    assert isinstance(refused, Failed) and refused.keeps == "document"
    assert isinstance(read[f"{site.url}/open"], Found)
    assert "/private/a" not in site.asked
    assert isinstance(found({"urls": [f"{site.url}/private/a"]}).popitem()[1], Found)


def test_a_server_is_given_the_time_that_it_asks_for(site: Website) -> None:
    site.sitemap("/sitemap.xml", *(f"/{n}" for n in range(3)))
    site.put("/robots.txt", "User-agent: *\nCrawl-delay: 1\n")
    for n in range(3):
        site.put(f"/{n}", "text")
    started = time.monotonic()
    found({"sitemap": f"{site.url}/sitemap.xml"})
    assert 2 <= time.monotonic() - started < 4


def test_a_site_that_takes_too_long_is_left(site: Website, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "LONGEST_S", 0.0)
    for n in range(9):
        site.put(f"/{n}", "text")
    with pytest.raises(UnreadableDocument, match="Its 9 pages take longer than 0 h"):
        found({"urls": [f"{site.url}/{n}" for n in range(9)]})
    assert len(site.asked) < 9


def test_a_sitemap_has_an_end(site: Website, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sitemap, "MAX_PAGES", 3)
    site.sitemap("/sitemap.xml", "/a", "/b", "/c", "/d")
    with pytest.raises(UnreadableDocument, match="over 3 entries"):
        found({"sitemap": f"{site.url}/sitemap.xml"})
    site.sitemap("/sitemap.xml", "/one.xml", "/two.xml", index=True)
    site.sitemap("/one.xml", "/a", "/b")
    site.sitemap("/two.xml", "/c", "/d")
    with pytest.raises(UnreadableDocument, match="names over 3 pages"):
        found({"sitemap": f"{site.url}/sitemap.xml"})


def test_without_an_answer_about_robots_nothing_is_fetched(site: Website) -> None:
    site.sitemap("/sitemap.xml", "/a")
    site.put("/a", "text")
    site.put("/robots.txt", "broken", status=503)
    (page,) = found({"sitemap": f"{site.url}/sitemap.xml"}).values()
    assert "/robots.txt answered 503" in reason(page)
    assert "/a" not in site.asked


def test_pages_that_fail_are_told_apart_from_pages_that_are_gone(site: Website) -> None:
    site.put("/broken", "oh", status=500)
    site.put("/gone", "oh", status=410)
    site.put("/large", "x" * 100_001)
    site.put("/picture", b"\x89PNG", kind="image/png")
    site.pages["/round"] = "/round"
    site.pages["/file"] = "file:///etc/passwd"
    names = ("broken", "gone", "missing", "large", "picture", "round", "file", "rows.jsonl")
    site.put("/rows.jsonl", "oh", status=500)
    read = found({"urls": [f"{site.url}/{name}" for name in names]})
    by_name = {source.rpartition("/")[2]: item for source, item in read.items()}
    assert {name: item.keeps for name, item in by_name.items() if isinstance(item, Failed)} == {
        "broken": "document", "gone": "nothing", "missing": "nothing", "large": "document",
        "picture": "document", "round": "document", "file": "document", "rows.jsonl": "origin",
    }  # fmt: skip
    assert reason(by_name["missing"]) == f"{site.url}/missing answered 404."
    assert "larger than 100,000 bytes" in reason(by_name["large"])
    assert "image/png, which is not read" in reason(by_name["picture"])


BILLION = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;">]>
<urlset><url><loc>http://x/&b;</loc></url></urlset>"""
OUTSIDE = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>
<urlset><url><loc>&a;</loc></url></urlset>"""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (BILLION, "defines entities"),
        (OUTSIDE, "defines entities"),
        (b"<html><body>Welcome back", "not XML"),
        (b"<html><body/></html>", "has no <urlset>"),
        (b"<urlset></urlset>", "has no <urlset>"),
        (b"<urlset><url><loc>file:///etc/passwd</loc></url></urlset>", "no web address"),
        (b"<urlset><url><loc></loc></url></urlset>", "no web address"),
        (gzip.compress(b"x" * 60_000_000), "unpacks to over"),
        (gzip.compress(b"<urlset/>", mtime=0)[:-9], "damaged gzip"),
        (b"x" * 100_001, "larger than"),
        (b"", "not XML"),
    ],
)
def test_what_is_no_sitemap_fails_the_whole(site: Website, body: bytes, said: str) -> None:
    site.put("/sitemap.xml", body, kind="application/xml")
    with pytest.raises(UnreadableDocument, match=said):
        found({"sitemap": f"{site.url}/sitemap.xml"})


def test_a_sitemap_that_cannot_be_had_fails_the_whole(site: Website) -> None:
    site.sitemap("/sitemap.xml", "/one.xml", "/away.xml", index=True)
    site.sitemap("/one.xml", "/a")
    with pytest.raises(UnreadableDocument, match=r"/away\.xml answered 404"):
        found({"sitemap": f"{site.url}/sitemap.xml"})
    assert "/a" not in site.asked
    with pytest.raises(UnreadableDocument, match="cannot be fetched"):
        found({"sitemap": "http://127.0.0.1:1/sitemap.xml"})


@pytest.mark.parametrize(
    "address",
    """127.0.0.1 127.8.8.8 0.0.0.0 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.100.100.200
    168.63.129.16 224.0.0.1 255.255.255.255 192.0.0.192 ::1 :: fe80::1 fc00::1 fd00:ec2::254 fec0::1
    ff02::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::a9fe:a9fe 2002:7f00:1:: 2001:0:1::1
    fe80::1%lo""".split(),
)
def test_addresses_that_are_not_the_public_web(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", "93.184.216.34 1.1.1.1 2606:4700:4700::1111 ::ffff:1.1.1.1 64:ff9b::101:101".split()
)
def test_addresses_of_the_public_web(address: str) -> None:
    assert is_public(address)


def test_a_source_that_is_not_trusted_reaches_nothing_here(site: Website) -> None:
    site.put("/secret", "text")
    port = site.url.rpartition(":")[2]
    urls = [
        f"http://{host}:{port}/secret"
        for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:7f00:1]", "2130706433", "0x7f.1")
    ]
    for item in found({"urls": urls}, trusted=False).values():
        assert "cannot be fetched" in reason(item)
    with pytest.raises(UnreadableDocument, match="in a private network"):
        found({"sitemap": urls[0]}, trusted=False)
    assert site.asked == []
    assert isinstance(found({"urls": urls[:1]}).popitem()[1], Found)


def test_a_redirect_is_checked_like_the_first_address(site: Website) -> None:
    """127.0.0.2 stands for a server of the public web."""
    site.put("/secret", "text")
    transport = PublicWeb(1, lambda address: address == "127.0.0.2")
    with (
        website("127.0.0.2") as outside,
        httpx.Client(transport=transport, follow_redirects=True) as client,
    ):
        outside.put("/page", "text")
        outside.pages["/moved"] = f"{site.url}/secret"
        outside.pages["/elsewhere"] = f"{outside.url}/page"
        assert isinstance(fetch(client, f"{outside.url}/elsewhere", LIMITS), Found)
        refused = fetch(client, f"{outside.url}/moved", LIMITS)
        assert "127.0.0.1 is on this machine" in reason(refused)
    assert site.asked == []
