"""What is under way as a person meets it, in a real Chromium: told by itself, never in the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, Page, expect

from model_pipeline.store.sources import JobCounts, QueuedJob
from rag_service.ui import sources, updates
from rag_service.ui.service import Updates

Serve = Callable[..., AbstractContextManager[str]]
SITEMAP = "https://docs.example.org/sitemap.xml"


@pytest.fixture(scope="module")
def shared_world(new_world: Callable[[], Any]) -> Any:
    return new_world()


@pytest.fixture(scope="module")
def address(shared_world: Any, serve: Serve, ui: Serve) -> Iterator[str]:
    with serve(shared_world) as api, ui(api) as found:
        yield found


@pytest.fixture
def world(shared_world: Any) -> Any:
    """Nothing is under way, at first."""
    held = shared_world.updates
    held.held.clear()
    held.queue.clear()
    held.counts.clear()
    shared_world.delta_delay_s = 0.0
    return shared_world


@pytest.fixture
def page(chromium: Browser, address: str, world: Any) -> Iterator[Page]:
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.goto(address)
    expect(page.get_by_test_id("stChatInputTextArea")).to_be_enabled(timeout=30_000)
    yield page
    page.close()


def under_way(page: Page) -> Any:
    return page.get_by_role("list", name="Updates under way")


@pytest.mark.browser
def test_what_is_under_way_comes_and_goes_by_itself(page: Page, world: Any) -> None:
    expect(page.get_by_role("button", name="Sources")).to_be_visible()
    expect(under_way(page)).to_have_count(0)
    source = world.updates.add_source("python", "web", {"sitemap": SITEMAP}, refresh_every=None)
    running = replace(source, state="running", progress={"found": 128})
    world.updates.held[source.source_id] = running
    world.updates.counts[:] = [
        JobCounts("python", "documents", 3, 1, 0),
        JobCounts("python", "sources", 0, 1, 0),
    ]
    shown = under_way(page)
    expect(shown).to_contain_text("3 documents waiting, 1 being indexed", timeout=10_000)
    expect(shown).to_contain_text("docs.example.org/sitemap.xml")
    expect(shown).to_contain_text("refreshing, 128 documents so far")
    world.updates.counts.clear()
    expect(shown).to_have_count(0, timeout=10_000)


@pytest.mark.browser
def test_what_was_given_up_is_told_and_tried_again(page: Page, world: Any) -> None:
    reason = f"{SITEMAP} answered 500. <b>Look</b>"
    world.updates.queue[7] = QueuedJob(
        7, "python", "dead", None, uuid4(), SITEMAP, 5, "2026-01-01T00:00:00Z", {}, reason
    )
    world.updates.counts[:] = [JobCounts("python", "sources", 0, 0, 1)]
    told = page.get_by_test_id("stSidebar").get_by_role("alert")
    expect(told).to_contain_text(reason, timeout=10_000)
    page.get_by_role("button", name="Try again").click()
    expect(told).to_have_count(0, timeout=10_000)
    assert world.updates.queue[7].state == "waiting"


@pytest.mark.browser
def test_it_disturbs_neither_an_answer_nor_what_is_being_written(page: Page, world: Any) -> None:
    """Longer than it takes to look again, twice."""
    world.updates.counts[:] = [JobCounts("python", "documents", 1, 0, 0)]
    expect(under_way(page)).to_be_visible(timeout=10_000)
    world.delta_delay_s = 0.8
    box = page.get_by_test_id("stChatInputTextArea")
    box.fill("with")
    box.press("Enter")
    expect(page.locator(".p-caret")).to_be_visible()
    box.fill("Half a question")
    world.updates.counts[:] = [JobCounts("python", "documents", 2, 0, 0)]
    expect(page.locator("button.p-chip")).to_be_visible(timeout=20_000)
    expect(page.locator(".p-answer")).to_contain_text("wraps the execution of a block.")
    expect(under_way(page)).to_contain_text("2 documents waiting", timeout=10_000)
    expect(box).to_have_value("Half a question")
    assert [one["question"] for one in world.asked] == ["with"]


@pytest.mark.browser
def test_sources_are_added_refreshed_and_removed(page: Page, world: Any) -> None:
    drawer = page.get_by_role("dialog", name="Sources")
    page.get_by_role("button", name="Sources").click()
    expect(drawer).to_contain_text("Nothing yet.")
    drawer.get_by_role("button", name="Add pages").click()
    expect(drawer).to_contain_text("Write the address of a page or sitemap first.")
    addresses = drawer.get_by_role("textbox", name="Addresses")
    addresses.fill("https://refused")
    drawer.get_by_role("button", name="Add pages").click()
    expect(drawer.get_by_role("alert")).to_contain_text("begins with")
    addresses.fill(SITEMAP)
    drawer.get_by_role("button", name="Add pages").click()
    expect(drawer).to_have_count(0)
    (added,) = world.updates.held.values()
    assert (added.settings, added.collection, added.refresh_every_s) == (
        {"sitemap": SITEMAP}, "default", 86_400,
    )  # fmt: skip

    failure = {"source": "x", "reason": "https://docs.example.org/x answered 500."}
    world.updates.held[added.source_id] = replace(
        added,
        state=None,
        refreshed_at="2026-11-21T11:40:00Z",
        last_result={"failed": 1, "failures": [failure]},
    )
    page.get_by_role("button", name="Sources").click()
    expect(drawer).to_contain_text("default · refreshed 21 Nov 11:40 UTC")
    drawer.get_by_text("1 failed").click()
    expect(drawer.get_by_text("docs.example.org/x answered 500.")).to_be_visible()
    drawer.get_by_role("button", name=f"Refresh {SITEMAP}").click()
    expect(drawer).to_contain_text("default · waiting")
    drawer.get_by_role("button", name=f"Remove {SITEMAP}").click()
    page.get_by_role("button", name="Yes, remove it").click()
    expect(drawer).to_contain_text("Nothing yet.")
    assert world.updates.held == {}


def test_one_xml_address_is_a_sitemap_and_all_else_are_pages() -> None:
    assert sources.web_settings("example.org/map.XML.gz?x=1\n") == {
        "sitemap": "https://example.org/map.XML.gz?x=1"
    }
    assert sources.web_settings("http://a/b  c.org/d.xml") == {
        "urls": ["http://a/b", "https://c.org/d.xml"]
    }


def test_nothing_is_said_where_there_is_nothing() -> None:
    assert updates.status_html(Updates(0, 0, (), (), 0)) == ""
    assert "1 document being indexed" in updates.status_html(Updates(0, 1, (), (), 0))
    many = tuple({"name": f"<{n}>", "state": "waiting", "progress": None, "reason": "Why?"}
                 for n in range(5))  # fmt: skip
    html = updates.status_html(Updates(1, 0, many, (), 0))
    assert "2 more sources" in html and "<0>" not in html and "tried again soon: Why?" in html
