"""The page as a person meets it, in a real Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.browser

Serve = Callable[..., AbstractContextManager[str]]


@pytest.fixture(scope="module")
def shared_world(new_world: Callable[[], Any]) -> Any:
    return new_world()


@pytest.fixture(scope="module")
def address(shared_world: Any, serve: Serve, ui: Serve) -> Iterator[str]:
    """The UI over a world that tests do not change: each gets a browser session of its own."""
    with serve(shared_world) as api, ui(api) as found:
        yield found


@pytest.fixture
def world(shared_world: Any) -> Any:
    shared_world.asked.clear()
    shared_world.delta_delay_s = 0.0
    return shared_world


@pytest.fixture
def page(chromium: Browser, address: str, world: Any) -> Iterator[Page]:
    with visiting(chromium, address) as found:
        yield found


class visiting:
    """A page at `address`; leaving it checks that it threw nothing and asked no one else."""

    def __init__(self, chromium: Browser, address: str, **context: Any) -> None:
        self._context = chromium.new_context(viewport={"width": 1280, "height": 800}, **context)
        self._address = address
        self._errors: list[str] = []
        self._elsewhere: list[str] = []

    def __enter__(self) -> Page:
        page = self._context.new_page()
        page.on("pageerror", lambda error: self._errors.append(str(error)))
        page.on("request", lambda request: self._note(request.url))
        page.goto(self._address)
        expect(box(page)).to_be_enabled(timeout=30_000)
        return page

    def _note(self, url: str) -> None:
        if not url.startswith((self._address, "ws://127.0.0.1", "data:", "blob:")):
            self._elsewhere.append(url)

    def __exit__(self, kind: object, *_: object) -> None:
        self._context.close()
        if kind is None:
            assert self._errors == []
            assert self._elsewhere == []


def box(page: Page) -> Any:
    return page.get_by_test_id("stChatInputTextArea")


def ask(page: Page, question: str) -> None:
    box(page).fill(question)
    box(page).press("Enter")


def idle(page: Page) -> None:
    expect(page.locator(".stApp")).to_have_attribute("data-test-script-state", "notRunning")


def test_a_question_a_streamed_answer_and_its_citation_opened(page: Page, world: Any) -> None:
    world.delta_delay_s = 0.2
    ask(page, "How does with work?")
    expect(page.locator(".p-caret")).to_be_visible()  # it grows
    answer = page.locator(".p-answer")
    expect(answer).to_contain_text("The with statement")
    expect(page.locator(".p-timings")).to_have_text("answered in 84 ms · search 4 ms")
    expect(page.locator(".p-caret")).to_have_count(0)

    page.get_by_role("button", name="Open source 1: The with page").click()
    drawer = page.get_by_role("dialog")
    expect(drawer.locator("mark")).to_have_text(
        "The with statement wraps the execution of a block."
    )
    expect(drawer).to_contain_text("The with page")
    expect(drawer).to_contain_text("docs/with")
    expect(drawer).to_contain_text("Details")
    expect(drawer).to_contain_text("More of it.")
    colour = drawer.locator("mark").evaluate("e => getComputedStyle(e).backgroundColor")
    assert colour == "rgb(255, 233, 163)"

    drawer.get_by_text("Show the text around it").click()
    expect(drawer).to_contain_text("The text before.")
    expect(drawer).to_contain_text("The text after.")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert len(world.asked) == 1


def test_a_quote_deep_in_a_passage_is_scrolled_into_view(page: Page) -> None:
    ask(page, "naming")
    page.locator(".p-card").click()
    expect(page.get_by_role("dialog").locator("mark")).to_be_in_viewport()


def test_citations_open_by_keyboard_and_again(page: Page) -> None:
    ask(page, "with")
    chip = page.locator("button.p-chip")
    for _ in range(2):
        chip.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog").locator("mark")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)


def test_nothing_in_a_document_is_live(page: Page) -> None:
    ask(page, "hostile <img src=x onerror=alert(1)>")
    expect(page.locator(".p-answer")).to_contain_text('<img src=x onerror="window.hacked = 2">')
    expect(page.locator(".p-answer")).to_contain_text("$x^2$ :red[loud] **bold** rows[1]")
    page.locator("button.p-chip").click()
    expect(page.get_by_role("dialog").locator("mark")).to_contain_text("<script>")
    assert page.evaluate("window.hacked") is None
    assert page.locator(".stHtml img, .stHtml a, .stHtml .katex").count() == 0


def test_titles_in_buttons_are_plain_text(
    chromium: Browser, new_world: Callable[[], Any], serve: Serve, ui: Serve
) -> None:
    world = new_world()
    title = "*a* $x$ :red[b] [c](http://d.example) `e`"
    world.documents = {}
    world.put(title, "text")
    with serve(world) as api, ui(api) as address, visiting(chromium, address) as page:
        button = page.locator(".st-key-examples button")
        expect(button).to_have_text(f"What does “The {title} page” say?")
        button.click()
        expect(page.locator(".p-question")).to_have_text(f"What does “The {title} page” say?")


def test_a_declined_answer_opens_what_is_nearest(page: Page) -> None:
    ask(page, "Who won?")
    expect(page.get_by_role("status").filter(has_text="not in the documents")).to_be_visible()
    page.locator(".p-card").first.click()
    expect(page.get_by_role("dialog")).to_contain_text("The with statement wraps")


def test_a_filter_narrows_the_next_question(page: Page, world: Any) -> None:
    page.get_by_text("Filter by metadata").click()
    # What moves under a list of options closes it.
    page.wait_for_timeout(600)
    field = page.get_by_role("combobox", name="Field")
    field.press_sequentially("lang")
    expect(page.get_by_role("option", name="lang")).to_be_visible()
    field.press("Enter")
    idle(page)
    value = page.get_by_role("textbox", name="Value")
    value.fill("en")
    value.press("Enter")
    expect(page.get_by_text('Filter on: {"lang": "en"}')).to_be_visible()
    ask(page, "with")
    expect(page.locator(".p-timings")).to_be_visible()
    assert world.asked[0]["filter"] == {"lang": "en"}


def test_files_are_added_found_and_deleted(
    chromium: Browser, new_world: Callable[[], Any], serve: Serve, ui: Serve
) -> None:
    world = new_world()
    with serve(world) as api, ui(api) as address, visiting(chromium, address) as page:
        add_find_and_delete(page)
    assert world.uploads == [("news.md", "default"), ("broken.pdf", "default")]
    assert "news" not in world.documents


def add_find_and_delete(page: Page) -> None:
    page.get_by_text("Add documents").click()
    page.locator("input[type=file]").set_input_files(
        [
            {"name": "news.md", "mimeType": "text/markdown", "buffer": b"# News"},
            {"name": "broken.pdf", "mimeType": "application/pdf", "buffer": b"%PDF"},
        ]
    )
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("It is cut off: send it again.")).to_be_visible()
    expect(page.get_by_text("4 documents in 2 collections")).to_be_visible()

    page.get_by_role("button", name="Documents", exact=True).click()
    drawer = page.get_by_role("dialog")
    wanted = drawer.get_by_label("Find by title or source")
    wanted.fill("news")
    wanted.press("Enter")
    expect(drawer.locator(".p-document")).to_have_count(1)
    drawer.get_by_role("button", name="Delete The news page").click()
    page.get_by_role("button", name="Yes, delete it").click()
    expect(drawer.locator(".p-document")).to_have_count(0)


def test_an_answer_can_be_stopped_and_asked_again(page: Page, world: Any) -> None:
    world.delta_delay_s = 0.5
    ask(page, "with")
    expect(page.locator(".p-answer")).to_contain_text("The with")
    expect(page.get_by_text("You stopped this answer.")).to_be_hidden()
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".p-caret")).to_be_hidden()
    expect(page.get_by_text("You stopped this answer.")).to_be_visible()
    world.delta_delay_s = 0
    page.get_by_role("button", name="Ask again").click()
    expect(page.locator("button.p-chip")).to_be_visible()


def test_a_service_that_is_away_is_told_and_found_again(
    chromium: Browser, world: Any, ui: Serve, serve: Serve
) -> None:
    with serve(world) as api:
        pass
    with ui(api) as address, visiting(chromium, address) as page:
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text(f"The service at {api} does not answer")
        ask(page, "with")
        expect(page.get_by_test_id("stChatMessage").get_by_role("alert")).to_contain_text(
            "make run"
        )
        expect(page.locator(".p-waiting")).to_have_count(0)
        with serve(world, port=int(api.rsplit(":", 1)[1])):
            page.get_by_role("button", name="Retry").click()
            expect(page.locator("button.p-chip")).to_be_visible()
        expect(page.get_by_text("Traceback")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_and_nothing_overflows(
    chromium: Browser, address: str, scheme: str
) -> None:
    with visiting(chromium, address, color_scheme=scheme) as page:
        page.set_viewport_size({"width": 400, "height": 800})
        ask(page, "with hostile")
        page.locator("button.p-chip").first.click()
        expect(page.get_by_role("dialog").locator("mark")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        for part in (".p-answer", "button.p-chip", ".p-card-where", ".p-timings"):
            assert contrast(page, part) >= 4.5, part
        assert page.get_by_text("Deploy").count() == 0


def contrast(page: Page, part: str) -> float:
    """WCAG's contrast of an element's text with what is painted behind it."""
    found: float = page.locator(part).first.evaluate(
        """element => {
          const canvas = Object.assign(document.createElement("canvas"), {width: 1, height: 1});
          const paint = canvas.getContext("2d", {willReadFrequently: true});
          const layers = [];
          for (let at = element; at; at = at.parentElement) {
            layers.unshift(getComputedStyle(at).backgroundColor);
          }
          const luminance = () => {
            const [r, g, b] = [...paint.getImageData(0, 0, 1, 1).data].slice(0, 3)
              .map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const fill = colour => { paint.fillStyle = colour; paint.fillRect(0, 0, 1, 1); };
          ["white", ...layers].forEach(fill);
          const behind = luminance();
          fill(getComputedStyle(element).color);
          const text = luminance();
          return (Math.max(behind, text) + 0.05) / (Math.min(behind, text) + 0.05);
        }"""
    )
    return found
