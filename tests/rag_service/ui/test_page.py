"""The page's logic, run by Streamlit's own test runner against the real API over scripted parts."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from rag_service.ui import chat, service, welcome
from rag_service.ui.launch import APP


@pytest.fixture
def page(api: str, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    return opened(api, monkeypatch)


def opened(api: str, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setattr(sys, "argv", [str(APP), api])
    test = AppTest.from_file(APP, default_timeout=20).run()
    assert not test.exception
    return test


def shown(page: AppTest) -> str:
    assert not page.exception
    found = [one.proto.body for one in page.get("html")]
    return "\n".join(body for body in found if not body.startswith("<style>"))


def ask(page: AppTest, question: str) -> str:
    page.chat_input[0].set_value(question).run()
    return shown(page)


def button(page: AppTest, label: str) -> Any:
    return next(one for one in page.button if one.label.replace("\\", "") == label)


def test_the_empty_page_says_what_is_there_and_offers_questions(page: AppTest) -> None:
    assert "3 documents in the collection python" in shown(page)
    button(page, "What does “The with page” say?").click().run()
    assert "The with statement wraps the execution of a block." in shown(page)


def test_the_demo_has_questions_of_its_own() -> None:
    demo = [{"source": f"python/{name}", "title": name} for name in welcome.DEMO_QUESTIONS]
    assert welcome.examples(service.Overview(("python",), tuple(demo))) == list(
        welcome.DEMO_QUESTIONS.values()
    )


def test_an_answer_has_chips_sources_and_timings(page: AppTest) -> None:
    html = ask(page, "with and naming")
    assert html.count('class="p-chip" data-open=') == 2
    assert html.count('class="p-card"') == 2
    assert "answered in 84 ms · search 4 ms" in html


def test_what_no_passage_says_and_who_stood_in_is_shown(page: AppTest) -> None:
    html = ask(page, "with flagged fallback")
    assert re.search(r'class="p-unsupported" title="[^"]+">The with s</span>', html)
    assert "The &lt;b&gt;model&lt;/b&gt; is away." in html
    assert "p-fallback" not in ask(page, "naming")[len(html) :]


def test_what_is_rated_low_says_so(page: AppTest) -> None:
    assert chat.FLAGGED not in ask(page, "naming")
    assert ask(page, "with biased").count(chat.FLAGGED) == 1


def test_what_was_said_goes_with_the_next_question(page: AppTest, world: Any) -> None:
    ask(page, "with")
    ask(page, "and naming?")
    assert world.asked[0]["history"] == []
    assert world.asked[1]["history"] == [
        ("user", "with"),
        ("assistant", "The with statement wraps the execution of a block. [1]"),
    ]
    button(page, "New conversation").click().run()
    assert "Ask your documents" in shown(page)
    ask(page, "naming")
    assert world.asked[2]["history"] == []


def test_answers_are_not_asked_twice(page: AppTest, world: Any) -> None:
    ask(page, "with")
    page.run()
    page.run()
    assert len(world.asked) == 1


def test_a_declined_answer_offers_the_nearest_passages(page: AppTest) -> None:
    html = ask(page, "Who won the world cup?")
    assert "p-notice p-calm" in html
    assert "This is not in the documents." in html
    assert "Nearest passages" in html
    assert 'data-open="0:p:0"' in html


def test_collection_filter_and_number_go_with_the_question(page: AppTest, world: Any) -> None:
    page.selectbox[0].set_value("python")
    page.slider[0].set_value(7)
    page.selectbox(key="filter-key-0").set_value("year")
    page.selectbox(key="filter-operator-0").set_value("at least")
    page.text_input(key="filter-value-0").set_value("2020").run()
    html = ask(page, "with")
    assert {name: world.asked[0][name] for name in ("collection", "k", "filter")} == {
        "collection": "python",
        "k": 7,
        "filter": {"year": {"gte": 2020}},
    }
    assert "in python · {&quot;year&quot;: {&quot;gte&quot;: 2020}}" in html


def test_rows_come_and_go(page: AppTest) -> None:
    button(page, "Add a condition").click().run()
    page.text_input(key="filter-value-1").set_value("en").run()
    page.button(key="filter-remove-0").click().run()
    assert [one.key for one in page.text_input] == ["filter-value-1"]
    assert page.text_input[0].value == "en"


def test_a_filter_that_is_no_json_is_told_and_stops_questions(page: AppTest) -> None:
    page.toggle(key="filter-json").set_value(True).run()
    page.text_area(key="filter-text").set_value('{"lang": en}').run()
    assert "This is not JSON at line 1, column 10" in shown(page)
    assert page.chat_input[0].disabled
    page.text_area(key="filter-text").set_value('{"lang": "en"}').run()
    assert not page.chat_input[0].disabled


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("refuse", "The filter names no &lt;b&gt;field&lt;/b&gt;: name one."),
        ("break", "It broke in the middle."),
    ],
)
def test_what_the_service_refuses_is_told_with_a_retry(
    page: AppTest, world: Any, question: str, reason: str
) -> None:
    assert reason in ask(page, question)
    button(page, "Retry").click().run()
    assert [one["question"] for one in world.asked] == [question, question]


def test_a_service_that_is_away_is_told_and_found_again(
    world: Any,
    serve: Callable[..., AbstractContextManager[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service.forget()
    with serve(world) as api:
        page = opened(api, monkeypatch)
    service.forget()
    html = ask(page, "with")
    assert f"The service at {api} does not answer" in html
    assert "make run" in html
    with serve(world, port=int(api.rsplit(":", 1)[1])):
        button(page, "Retry").click().run()
        assert "The with statement wraps" in shown(page)


def test_a_page_opened_while_the_service_is_away_says_so(
    unused_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = opened(unused_address, monkeypatch)
    assert f"The service at {unused_address} does not answer" in shown(page)
    assert button(page, "Retry")


def test_files_go_up_and_each_outcome_is_told(page: AppTest, world: Any) -> None:
    page.file_uploader[0].upload("new.md", b"# New\n\nText.", "text/markdown")
    page.file_uploader[0].upload("broken.pdf", b"%PDF", "application/pdf")
    button(page, "Add").click().run()
    html = shown(page)
    assert world.uploads == [("new.md", "default"), ("broken.pdf", "default")]
    assert "new.md" in html
    assert "added" in html
    assert "It is cut off: send it again." in html
    assert "4 documents in 2 collections: default, python" in html
