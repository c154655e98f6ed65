"""From a file dropped on the page to its quote marked on it: the real service, nothing scripted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

pytestmark = pytest.mark.browser

Serve = Callable[..., AbstractContextManager[str]]
TEXT = """# Opening hours

The library opens at nine in the morning from Monday to Friday.

## Lending

A borrowed book may be kept for four weeks. After that, each day costs twenty cents.
"""


@pytest.fixture
def real_api(database: str, tmp_path: Path, promptly_api: Serve) -> Iterator[str]:
    with promptly_api(database, tmp_path) as address:
        yield address


def test_a_file_added_a_question_and_the_quote_in_its_place(
    real_api: str, ui: Serve, chromium: Browser
) -> None:
    with ui(real_api) as address:
        page = chromium.new_page()
        page.goto(address)
        expect(page.get_by_text("Nothing is here yet.")).to_be_visible(timeout=30_000)
        page.get_by_text("Add documents", exact=True).click()
        page.locator("input[type=file]").set_input_files(
            [{"name": "library.md", "mimeType": "text/markdown", "buffer": TEXT.encode()}]
        )
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.get_by_text("1 document in the collection default")).to_be_visible(
            timeout=30_000
        )
        box = page.get_by_test_id("stChatInputTextArea")
        box.fill("How long may a borrowed book be kept?")
        box.press("Enter")
        expect(page.locator(".p-answer")).to_contain_text("four weeks", timeout=30_000)
        page.locator("button.p-chip").first.click()
        drawer = page.get_by_role("dialog")
        expect(drawer.locator("mark")).to_contain_text(
            "A borrowed book may be kept for four weeks."
        )
        assert drawer.locator("mark").inner_text() in TEXT
        expect(drawer).to_contain_text("library.md")
        expect(drawer).to_contain_text("Lending")
        page.close()
