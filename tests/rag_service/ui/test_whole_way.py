"""From a file dropped on the page to its quote marked on it: the real service, nothing scripted."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

pytestmark = pytest.mark.browser

TEXT = """# Opening hours

The library opens at nine in the morning from Monday to Friday.

## Lending

A borrowed book may be kept for four weeks. After that, each day costs twenty cents.
"""


@pytest.fixture
def real_api(database: str, tmp_path: Path, unused_address: str) -> Iterator[str]:
    environment = os.environ | {"PROMPTLY_DATABASE_URL": database, "PROMPTLY_HOME": str(tmp_path)}
    port = unused_address.rsplit(":", 1)[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "promptly", "api", "--port", port], env=environment
    )
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                if httpx.get(f"{unused_address}/readyz", trust_env=False).is_success:
                    break
            except httpx.HTTPError:
                pass
            assert process.poll() is None, "the API stopped by itself"
            assert time.monotonic() < deadline, "the API did not start in two minutes"
            time.sleep(0.2)
        yield unused_address
    finally:
        process.terminate()
        process.wait(20)


def test_a_file_added_a_question_and_the_quote_in_its_place(
    real_api: str, ui: Callable[[str], AbstractContextManager[str]], chromium: Browser
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
