"""Answers, citations and passages as HTML. Whatever a document or a person wrote is escaped here.

Nothing is rendered as Markdown: a document that holds an image, a link, a tag or `$x$` shows them
as the characters they are. What can be clicked carries `data-open`, which `clicks` listens for.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

from model_pipeline.shown import shown

Json = Mapping[str, Any]

# Markers stand apart from the word before; `rows[1]` is an index.
_MARKERS = re.compile(r"(?<![\w)\]\"'])(?:\[\d{1,3}\])+")
# Indented lines and drawn tables keep their shape only in letters of one width.
_SET = re.compile(r"^(?: {3,}|\t)\S|^[+|][-=+|]{3}|^```", re.MULTILINE)
_FENCE = re.compile(r"```[\w+-]*\n(.*?)(?:\n```|\Z)", re.DOTALL)
_INLINE_CODE = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)


# No line breaks between a word and its chip.
_JOINER = "&#8288;"


def escape(text: object) -> str:
    """`text` as inert HTML that hides and reorders nothing; no UTF-8: a question mark."""
    whole = str(text).encode("utf-8", "replace").decode("utf-8")
    return html.escape(shown(whole), quote=True)


# Stand in the text while it is made HTML; both are private, and none are in what is shown.
_OPEN, _CLOSE = "\ue0f0", "\ue0f1"
_UNSUPPORTED = (
    '<span class="p-unsupported" title="No passage was found that says this.">',
    "</span>",
)


def answer_html(
    answer: str,
    *,
    turn: int,
    citations: Sequence[Json],
    unsupported: Sequence[Json] = (),
    live: bool = False,
) -> str:
    """The answer with its [n] as chips, and what no passage says marked. While it is `live`, chips
    show but do not open yet."""
    answer = _bracketed(answer, unsupported)
    numbers = {int(one["n"]): one for one in citations}

    def chips(match: re.Match[str]) -> str:
        found = [int(n) for n in re.findall(r"\d+", match[0])]
        return "".join(
            _chip(n, turn=turn, citation=None if live else numbers[n])
            if live or n in numbers
            else f"[{n}]"
            for n in found
        )

    def prose(text: str) -> str:
        parts, at = [], 0
        for match in _MARKERS.finditer(text):
            shown = chips(match)
            before = text[at : match.start()]
            parts += [escape(before.rstrip(" ") if "p-chip" in shown else before), shown]
            at = match.end()
        return "".join([*parts, escape(text[at:])])

    def line(text: str) -> str:
        parts, at = [], 0
        for match in _INLINE_CODE.finditer(text):
            parts += [prose(text[at : match.start()]), f"<code>{escape(match[2])}</code>"]
            at = match.end()
        return "".join([*parts, prose(text[at:])])

    pieces: list[str] = []
    at = 0
    for fence in _FENCE.finditer(answer):
        pieces.append(line(answer[at : fence.start()]))
        pieces.append(f"<pre><code>{escape(fence[1])}</code></pre>")
        at = fence.end()
    pieces.append(line(answer[at:].rstrip()))
    caret = '<span class="p-caret" aria-hidden="true"></span>' if live else ""
    inner = "".join(pieces).replace(_OPEN, _UNSUPPORTED[0]).replace(_CLOSE, _UNSUPPORTED[1])
    return f'<div class="p-answer" dir="auto">{inner}{caret}</div>'


def _bracketed(answer: str, spans: Sequence[Json]) -> str:
    """The answer with its spans between two characters that it does not hold itself."""
    answer = answer.replace(_OPEN, "\ufffd").replace(_CLOSE, "\ufffd")
    pieces, at = [], 0
    for span in spans:
        start, end = int(span["start"]), int(span["end"])
        if at <= start < end <= len(answer):
            pieces += [answer[at:start], _OPEN, answer[start:end], _CLOSE]
            at = end
    return "".join([*pieces, answer[at:]])


def _chip(n: int, *, turn: int, citation: Json | None) -> str:
    if citation is None:
        return f'{_JOINER}<span class="p-chip">{n}</span>'
    where = escape(place(citation))
    return (
        f'{_JOINER}<button type="button" class="p-chip" data-open="{turn}:c:{n}" '
        f'aria-label="Open source {n}: {where}" title="{where}">{n}</button>'
    )


def place(found: Json) -> str:
    """Where a citation or passage stands: the document, then the headings."""
    return " › ".join([name(found), *below(found)])


def below(found: Json) -> list[str]:
    """The headings under the document's own name, which often is the first of them."""
    headings = [str(part) for part in found.get("heading_path", ()) if part]
    return headings[1:] if headings[:1] == [name(found)] else headings


def name(found: Json) -> str:
    return str(found.get("title") or found.get("source") or "Untitled")


def sources_html(citations: Sequence[Json], *, turn: int) -> str:
    """The list under an answer: one card for each citation."""
    cards = [_card(one, f"{turn}:c:{one['n']}", str(one["n"]), one["quote"]) for one in citations]
    return _list("Sources", cards)


def nearest_html(passages: Sequence[Json], *, turn: int, shown: int = 3) -> str:
    """What is offered where the documents hold no answer."""
    cards = [
        _card(one, f"{turn}:p:{index}", "", one["content"])
        for index, one in enumerate(passages[:shown])
    ]
    return _list("Nearest passages", cards)


def _list(title: str, cards: Sequence[str]) -> str:
    items = "".join(f"<li>{card}</li>" for card in cards)
    return f'<section class="p-sources"><h4>{title}</h4><ul>{items}</ul></section>'


def _card(found: Json, opens: str, number: str, text: str) -> str:
    headings = " › ".join(below(found))
    origin = str(found.get("source", ""))
    under = " · ".join(part for part in (headings, origin) if part)
    badge = f'<span class="p-number">{number}</span>' if number else ""
    return (
        f'<button type="button" class="p-card" data-open="{escape(opens)}">{badge}'
        '<span class="p-card-body">'
        f'<span class="p-card-name" dir="auto">{escape(name(found))}</span>'
        f'<span class="p-card-where" dir="auto">{escape(under)}</span>'
        f'<span class="p-card-quote" dir="auto">{escape(" ".join(text.split())[:400])}</span>'
        "</span></button>"
    )


def quote_span(
    content: str, *, content_start: int | None, citation: Json
) -> tuple[int, int] | None:
    """Where the citation's quote stands in `content`, whose first character is `content_start`."""
    quote = str(citation["quote"])
    if content_start is not None:
        start = int(citation["start"]) - content_start
        if start >= 0 and content[start : start + len(quote)] == quote:
            return start, start + len(quote)
    start = content.find(quote)
    return (start, start + len(quote)) if quote and start >= 0 else None


def passage_html(
    content: str, span: tuple[int, int] | None, *, before: str = "", after: str = ""
) -> str:
    """The passage with the quote marked, between its dimmed neighbours."""
    start, end = span or (0, 0)
    marked = f'<mark id="p-quote" tabindex="-1">{escape(content[start:end])}</mark>' if span else ""
    inner = f"{escape(content[:start])}{marked}{escape(content[end:])}"
    shape = "p-passage p-set" if _SET.search(content) else "p-passage"
    return (
        f'<div class="{shape}" dir="auto">'
        f'<span class="p-around">{escape(before)}</span>{inner}'
        f'<span class="p-around">{escape(after)}</span></div>'
    )


def where_html(found: Json) -> str:
    """The head of an opened passage: document, headings, source."""
    steps = "".join(f"<li>{escape(part)}</li>" for part in below(found))
    trail = f'<ol class="p-trail" aria-label="Headings">{steps}</ol>' if steps else ""
    return (
        f'<div class="p-where" dir="auto"><strong>{escape(name(found))}</strong>'
        f'<span class="p-origin">{escape(found.get("source", ""))}</span>{trail}</div>'
    )


def question_html(question: str, scope: str = "") -> str:
    note = f'<div class="p-scope">{escape(scope)}</div>' if scope else ""
    return f'<div class="p-question" dir="auto">{escape(question)}</div>{note}'


def document_html(document: Json) -> str:
    parts = [document["collection"], document["source"], _counted(document["chunk_count"])]
    return (
        f'<div class="p-document" dir="auto"><span>{escape(name(document))}</span>'
        f"<small>{escape(' · '.join(parts))}</small></div>"
    )


def _counted(chunks: int) -> str:
    return "1 passage" if chunks == 1 else f"{chunks:,} passages"


def notice_html(kind: str, text: str, detail: str = "") -> str:
    """A calm box: `kind` is calm, warning or error."""
    role = "alert" if kind == "error" else "status"
    more = f'<span class="p-detail" dir="auto">{escape(detail)}</span>' if detail else ""
    return (
        f'<div class="p-notice p-{kind}" role="{role}"><span dir="auto">{escape(text)}</span>'
        f"{more}</div>"
    )


def timings(answer: Json) -> str:
    """`answered in 84 ms · search 4 ms`, from the stages that the service measured."""
    stages = answer.get("timings_ms") or {}
    parts = [f"answered in {_duration(stages['total'])}"] if "total" in stages else []
    parts += [f"search {_duration(stages['search'])}"] if "search" in stages else []
    dropped = int(answer.get("dropped_citations") or 0)
    if dropped:
        parts.append(f"{dropped} {'quote' if dropped == 1 else 'quotes'} left out: not found again")
    if unsupported := len(answer.get("unsupported") or ()):
        parts.append(f"{unsupported} underlined: no passage says it")
    if answer.get("complete") is False:
        parts.append("the search stopped early")
    return " · ".join(parts)


def _duration(milliseconds: float) -> str:
    if milliseconds >= 1000:
        return f"{milliseconds / 1000:.1f} s"
    return f"{milliseconds:.0f} ms" if milliseconds >= 1 else "under 1 ms"
