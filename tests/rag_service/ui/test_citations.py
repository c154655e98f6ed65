"""Answers and passages as HTML: chips open citations, and nothing from a document is live."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_service.ui import citations

CITATION: dict[str, Any] = {
    "n": 1,
    "quote": "evaluated once",
    "chunk_id": "c",
    "document_id": "d",
    "source": "python/function",
    "title": "Function definitions",
    "heading_path": ["Function definitions", "Defaults"],
    "start": 110,
    "end": 124,
}
OURS = {"div", "span", "button", "code", "pre"}


class Seen(HTMLParser):
    """The tags, attributes and text of a piece of HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def chips(html: str) -> list[str | None]:
    return [found.get("data-open") for tag, found in Seen(html).tags if tag == "button"]


def test_a_marker_becomes_a_chip_that_names_its_citation() -> None:
    html = citations.answer_html("Defaults are evaluated once. [1]", turn=2, citations=[CITATION])
    assert chips(html) == ["2:c:1"]
    assert "Open source 1: Function definitions › Defaults" in html


@pytest.mark.parametrize("text", ["Said [1][2].", "Said [1] [2]", "Said.[1][2]", "“Said” [1], [2]"])
def test_markers_in_a_row_are_chips(text: str) -> None:
    both = [CITATION, CITATION | {"n": 2}]
    assert chips(citations.answer_html(text, turn=0, citations=both)) == ["0:c:1", "0:c:2"]


@pytest.mark.parametrize(
    "text",
    [
        "rows[1] is an index",
        "f(x)[1]",
        "a[1][1]",
        "see [7]",
        "see [7][8]",
        "`x [1]`",
        "```\nx [1]\n```",
    ],
)
def test_other_brackets_stay_as_they_are(text: str) -> None:
    html = citations.answer_html(text, turn=0, citations=[CITATION])
    assert chips(html) == []
    assert Seen(html).text.split() == text.replace("`", "").split()


def test_chips_of_a_growing_answer_do_not_open_yet() -> None:
    html = citations.answer_html("Said. [1]", turn=0, citations=(), live=True)
    assert chips(html) == []
    assert 'class="p-chip"' in html


def test_what_no_passage_says_is_marked() -> None:
    text = "It opens [1] at <b>. Use `a[1]` <b>now</b>. End \ue0f0x."
    start, end = text.index("Use"), text.index(" End")
    spans = [
        {"start": start, "end": end},
        {"start": end - 2, "end": end + 2},  # these two are none
        {"start": end + 3, "end": 999},
    ]
    html = citations.answer_html(text, turn=0, citations=[CITATION], unsupported=spans)
    [found] = re.findall(r'<span class="p-unsupported"[^>]*>(.*?)</span>', html)
    assert found == "Use <code>a[1]</code> &lt;b&gt;now&lt;/b&gt;."
    assert chips(html) == ["0:c:1"]
    assert "End \ufffdx." in html


def test_code_is_set_as_code() -> None:
    html = citations.answer_html("Use `x < 1`:\n```python\nif a<b: pass\n```", turn=0, citations=[])
    assert "<code>x &lt; 1</code>" in html
    assert "<pre><code>if a&lt;b: pass</code></pre>" in html


@given(st.text() | st.from_regex(r"(<[a-z]+ on\w+=\"x\">|\[\d\]|`|&lt;|\$x\$){1,8}"))
def test_no_text_brings_tags_of_its_own(text: str) -> None:
    html = citations.answer_html(text, turn=0, citations=[CITATION])
    assert {tag for tag, _ in Seen(html).tags} <= OURS
    html.encode("utf-8")


@given(
    st.fixed_dictionaries(
        {"title": st.text(), "source": st.text(), "quote": st.text(), "content": st.text()}
    )
)
def test_no_field_of_a_document_brings_tags_or_attributes(fields: dict[str, str]) -> None:
    found = CITATION | fields | {"heading_path": list(fields.values())}
    for html in (
        citations.sources_html([found], turn=0),
        citations.nearest_html([found], turn=0),
        citations.where_html(found),
        citations.passage_html(fields["content"], (0, 1), before=fields["title"]),
        citations.notice_html("error", fields["title"], fields["source"]),
        citations.question_html(fields["title"], fields["source"]),
        citations.answer_html("Said [1]", turn=0, citations=[found]),
    ):
        html.encode("utf-8")
        for tag, attributes in Seen(html).tags:
            assert tag not in {"script", "img", "a", "iframe", "style"}
            assert not [name for name in attributes if name.startswith("on") or name == "href"]


def test_the_quote_is_marked_where_it_stands() -> None:
    content = "evaluated once, and again: evaluated once"
    span = citations.quote_span(content, content_start=83, citation=CITATION)
    assert span == (27, 41)
    html = citations.passage_html(content, span, before="Before. ", after=" After.")
    assert Seen(html).text == f"Before. {content} After."
    marked = re.search(r"again: <mark[^>]*>evaluated once</mark>", html)
    assert marked


def test_a_quote_is_found_by_its_text_where_the_offset_is_unknown() -> None:
    assert citations.quote_span("x evaluated once", content_start=None, citation=CITATION) == (
        2,
        16,
    )
    assert citations.quote_span("something else", content_start=0, citation=CITATION) is None


def test_code_and_tables_keep_their_shape() -> None:
    assert "p-set" in citations.passage_html("def f():\n    return 1", None)
    assert "p-set" not in citations.passage_html("A line of prose,\nand another.", None)


def test_timings_are_short_and_tell_what_was_left_out() -> None:
    answer = {"timings_ms": {"total": 84.4, "search": 0.4}, "dropped_citations": 1}
    assert citations.timings(answer) == (
        "answered in 84 ms · search under 1 ms · 1 quote left out: not found again"
    )
    assert citations.timings({"timings_ms": {"total": 2340}}) == "answered in 2.3 s"


def test_a_document_reorders_and_hides_nothing_that_is_shown() -> None:
    quote = "pay \u202e001\u202c \u2066now\U000e0041 שלום"
    citation = CITATION | {"quote": quote, "title": "T\u202e", "source": "s\u202e"}
    passage = f"before {quote} after"
    span = citations.quote_span(passage, content_start=None, citation=citation)
    pages = [
        citations.answer_html(f"{quote} [1]", turn=0, citations=[citation]),
        citations.sources_html([citation], turn=0),
        citations.passage_html(passage, span),
        citations.where_html(citation),
    ]
    assert not set("".join(pages)) & set("\u202e\u202c\u2066\U000e0041")
    assert "pay \ufffd001\ufffd \ufffdnow\ufffd שלום</mark>" in pages[2]
