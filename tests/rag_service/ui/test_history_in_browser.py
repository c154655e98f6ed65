"""What a reader says of an answer, and conversations of before, in a real Chromium."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from model_pipeline.errors import StoreUnavailable
from rag_service.ui import feedback
from tests.rag_service.ui.test_in_browser import ask, contrast, idle, visiting

pytestmark = pytest.mark.browser

Serve = Callable[..., AbstractContextManager[str]]


@pytest.fixture
def world(new_world: Callable[[], Any]) -> Any:
    return new_world()


@pytest.fixture
def address(world: Any, serve: Serve, ui: Serve) -> Iterator[str]:
    with serve(world) as api, ui(api) as found:
        yield found


def expect_said(world: Any, wanted: dict[str, str]) -> None:
    """Of the one answer there is; a click takes a moment to arrive."""
    deadline = time.monotonic() + 5
    while True:
        [found] = [dict(one.feedback) for kept in world.history.kept.values() for one in kept]
        if found == wanted:
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def thumb(page: Page, which: str) -> Any:
    return page.get_by_role("radio", name=f"Thumbs {which}").last


def test_an_answer_is_rated_corrected_and_reported(
    chromium: Browser, address: str, world: Any
) -> None:
    with visiting(chromium, address) as page:
        ask(page, "How does with work?")
        thumb(page, "up").click()
        expect(page.get_by_text(feedback.STORED)).to_be_visible()
        expect_said(world, {"rating": "up"})
        thumb(page, "down").click()
        expect_said(world, {"rating": "down"})
        idle(page)
        page.get_by_role("button", name="Say more").click()
        page.get_by_label("What do you think of it?").fill("Too short. <b>Really</b>")
        page.get_by_label("What should it have said?").fill("That it closes what it opened.")
        page.get_by_label("Is anything harmful about it?").fill("No, but it could be.")
        page.get_by_role("button", name="Send", exact=True).click()
        expect(page.get_by_role("button", name="Send", exact=True)).to_be_hidden()
        idle(page)
        whole = {
            "rating": "down", "comment": "Too short. <b>Really</b>",
            "corrected_answer": "That it closes what it opened.", "harm": "No, but it could be.",
        }  # fmt: skip
        expect_said(world, whole)
        # Sent back empty, a part is taken back; the others stay.
        page.get_by_role("button", name="Say more").click()
        page.get_by_label("Is anything harmful about it?").fill("")
        page.get_by_role("button", name="Send", exact=True).click()
        expect(page.get_by_role("button", name="Send", exact=True)).to_be_hidden()
        idle(page)
        del whole["harm"]
        expect_said(world, whole)
        thumb(page, "down").click()  # again: no rating at all
        del whole["rating"]
        expect_said(world, whole)
        assert len(world.asked) == 1

        world.history.away = True
        thumb(page, "up").click()
        expect(page.get_by_text(feedback.WAITS)).to_be_visible()


def test_what_cannot_be_taken_is_told_in_its_place(
    chromium: Browser, address: str, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise StoreUnavailable("Nothing more can be kept: try again later.")

    with visiting(chromium, address) as page:
        ask(page, "How does with work?")
        expect(page.locator(".p-timings")).to_be_visible()
        world.history.say = full
        thumb(page, "up").click()
        expect(page.get_by_role("alert")).to_contain_text("Nothing more can be kept")
        expect(page.get_by_text("Traceback")).to_have_count(0)


def test_a_conversation_is_opened_gone_on_with_and_deleted(
    chromium: Browser, address: str, world: Any
) -> None:
    with visiting(chromium, address) as page:
        expect(page.get_by_text("Past conversations")).to_have_count(0)
        ask(page, "How does with work?")
        thumb(page, "up").click()
        ask(page, "And naming?")
        expect(page.locator(".p-timings")).to_have_count(2)
        page.get_by_role("button", name="New conversation").click()
        expect(page.locator(".p-timings")).to_have_count(0)
        ask(page, "What is *hostile* [x](http://evil.example)?")
        expect(page.locator(".p-timings")).to_have_count(1)
        assert len(world.history.titles) == 2

        page.get_by_text("Past conversations").click()
        titles = page.locator('[class*="st-key-open-"] button')
        expect(titles).to_have_text(
            ["What is *hostile* [x](http://evil.example)?", "How does with work?"]
        )
        expect(titles.first).to_be_disabled()  # it is the one that is open
        idle(page)  # what is clicked while the page is drawn anew may be gone
        titles.last.click()
        expect(page.locator(".p-question")).to_have_text(["How does with work?", "And naming?"])
        page.get_by_role("button", name="Open source 1: The with page").first.click()
        expect(page.get_by_role("dialog").locator("mark")).to_be_visible()
        page.keyboard.press("Escape")
        ask(page, "with again")
        expect(page.locator(".p-timings")).to_have_count(3)
        assert len(world.history.titles) == 2
        first = next(iter(world.history.kept.values()))
        assert [one.question for one in first] == ["How does with work?", "And naming?",
                                                   "with again"]  # fmt: skip
        assert first[0].feedback == {"rating": "up"}
        assert ("user", "And naming?") in world.asked[-1]["history"]

        page.locator('[class*="st-key-ask-past-"] button').first.click()
        page.get_by_role("button", name="Yes, delete it").click()
        expect(titles).to_have_count(1)
        assert len(world.history.titles) == 1


def test_it_stands_out_and_fits_a_small_screen(chromium: Browser, address: str) -> None:
    with visiting(chromium, address, color_scheme="dark") as page:
        page.set_viewport_size({"width": 400, "height": 800})
        ask(page, "How does with work?")
        thumb(page, "up").click()
        expect(page.get_by_text(feedback.STORED)).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        assert contrast(page, ".p-said") >= 4.5
        assert contrast(page, '[class*="st-key-more-"] button') >= 4.5
