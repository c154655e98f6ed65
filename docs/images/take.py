"""Takes the pictures beside this file anew, of the page as it is, over the demo's documents:
`.venv/bin/python docs/images/take.py`."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from playwright.sync_api import Page, expect, sync_playwright

HERE = Path(__file__).parent
WAIT_MS = 120_000
QUESTIONS = (
    "What does the global statement do?",
    "How are names resolved in nested scopes?",
    "What is the finally clause of a try statement for?",
    "When are default parameter values evaluated?",
)


@contextmanager
def page_of_demo() -> Iterator[str]:
    """The address of the page that `promptly up` serves."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        api, ui = (probe.getsockname()[1] for probe in probes)
    with TemporaryDirectory() as home:
        given = {"HOME": home, "API_PORT": str(api), "UI_PORT": str(ui)}
        process = subprocess.Popen(
            [sys.executable, "-m", "promptly", "up"],
            env=os.environ | {f"PROMPTLY_{name}": value for name, value in given.items()},
        )
        try:
            health = f"http://127.0.0.1:{ui}/_stcore/health"
            while process.poll() is None:
                with suppress(httpx.HTTPError):
                    if httpx.get(health, trust_env=False).is_success:
                        break
                time.sleep(0.2)
            yield f"http://127.0.0.1:{ui}"
        finally:
            process.terminate()
            process.wait()


def ask(page: Page, question: str) -> None:
    box = page.get_by_test_id("stChatInputTextArea")
    box.fill(question)
    box.press("Enter")
    expect(page.get_by_text("answered in")).to_be_visible(timeout=WAIT_MS)


def take(page: Page) -> None:
    for question in QUESTIONS[:-1]:
        ask(page, question)
        page.get_by_role("button", name="New conversation").click()
        expect(page.get_by_text("Ask your documents")).to_be_visible(timeout=WAIT_MS)
    ask(page, QUESTIONS[-1])
    page.get_by_text("Past conversations").click()
    page.get_by_role("radio", name="Thumbs up").last.click()
    expect(page.get_by_role("button", name=QUESTIONS[0], exact=True)).to_be_visible(timeout=WAIT_MS)
    page.mouse.move(0, 0)
    page.wait_for_timeout(2_000)  # what moves has come to rest
    page.screenshot(path=HERE / "ui.png")
    page.locator("button.p-chip").first.click()
    expect(page.get_by_role("dialog").locator("mark").first).to_be_visible(timeout=WAIT_MS)
    page.wait_for_timeout(2_000)
    page.screenshot(path=HERE / "ui-citation.png")


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with page_of_demo() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        page.goto(address)
        expect(page.get_by_text("Ask your documents")).to_be_visible(timeout=WAIT_MS)
        take(page)
        browser.close()


main()
