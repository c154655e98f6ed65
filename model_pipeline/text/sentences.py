"""A passage to the pieces an answer is made of, with their exact places."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import sentencex

Kind = Literal["text", "item", "code", "heading", "table"]

FENCES = ("```", "~~~")
HEADING = re.compile(r"^#{1,6}\s")
ADORNMENT = re.compile(r"^([=\-~^\"*+#:.`_])\1{2,}\s*$")
ITEM = re.compile(r"^[ \t]*(?:[-*+•]|\d{1,3}[.)])\s+\S")
INDENTED = re.compile(r"^(?: {3,}|\t)\S")
CODE_MARKS = re.compile(
    r"::=|[{};]\s*$|^\s*(?:>>>|\$|def |class |import |from |return |if .*:$)|=\s|\w\("
)


# A sentence of more words than this is none: a table or a list that lost its structure.
LONG = 60
# There it ends with its line, or where a point has no space behind it.
LOST = re.compile(r"\n+|(?<=[a-z)][.!?])(?=[A-Z][a-z])")


@dataclass(frozen=True, slots=True)
class Sentence:
    """[start, end) in the passage's content."""

    start: int
    end: int
    kind: Kind


def sentences(content: str) -> list[Sentence]:
    """Sentences, list items, code blocks, headings and table rows, in order."""
    found: list[Sentence] = []
    for start, end, kind in _blocks(content):
        if kind == "text":
            for a, b in _split(content[start:end]):
                for c, d in _apart(content[start + a : start + b]):
                    place = _trimmed(content, start + a + c, start + a + d)
                    found.append(Sentence(*place, "text"))
        else:
            found.append(Sentence(*_trimmed(content, start, end), kind))
    return [sentence for sentence in found if sentence.end > sentence.start]


def _split(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the sentences of a paragraph; a point inside a name (app.Name) ends none."""
    start = 0
    for boundary in sentencex.get_sentence_boundaries("en", text):
        end = boundary["end_index"]
        if boundary["boundary_symbol"] != "." or end == len(text) or text[end - 1].isspace():
            yield start, end
            start = end
    if start < len(text):
        yield start, len(text)


def _apart(sentence: str) -> Iterator[tuple[int, int]]:
    """Spans of what a sentence that is too long to be one is made of; else its own."""
    start = 0
    if len(sentence) > 2 * LONG and len(sentence.split()) > LONG:
        for gap in LOST.finditer(sentence):
            yield start, gap.end()
            start = gap.end()
    yield start, len(sentence)


def _trimmed(content: str, start: int, end: int) -> tuple[int, int]:
    while end > start and content[end - 1].isspace():
        end -= 1
    while start < end and content[start].isspace():
        start += 1
    return start, end


def _lines(content: str) -> Iterator[tuple[int, int, str]]:
    at = 0
    for line in content.splitlines(keepends=True):
        yield at, at + len(line), line.rstrip("\n")
        at += len(line)


def _blocks(content: str) -> Iterator[tuple[int, int, Kind]]:
    """Neighbouring lines of one kind together; each item, heading and table row alone."""
    fenced = False
    start = end = 0
    kind: Kind | None = None
    for a, b, line in _lines(content):
        fence = line.lstrip(" \t").startswith(FENCES)
        found = "code" if fenced or fence else _kind(line, kind)
        fenced ^= fence
        underlined = found == "heading" and kind == "text" and ADORNMENT.match(line)
        if underlined:
            kind = "heading"
        elif kind is not None and (found != kind or _alone(found, line)):
            yield start, end, kind
            kind = None
        if kind is None and found is not None:
            start, kind = a, found
        end = b
    if kind is not None:
        yield start, end, kind


def _alone(kind: Kind | None, line: str) -> bool:
    return kind in ("heading", "table") or (kind == "item" and ITEM.match(line) is not None)


def _kind(line: str, before: Kind | None) -> Kind | None:
    """What a line is, after what `before` was; None for a blank one."""
    if line[:1].isalpha() and "|" not in line:  # most lines are
        return "item" if before == "item" else "text"
    if not line.strip():
        return "code" if before == "code" else None
    if HEADING.match(line) or ADORNMENT.match(line):
        return "heading"
    if ITEM.match(line):
        return "item"
    if before == "item":
        return "item"
    if line.count("|") >= 2:
        return "table"
    # As in CommonMark, indented code does not interrupt a paragraph: "class method." may go on one.
    if before == "code" and INDENTED.match(line):
        return "code"
    if before != "text" and INDENTED.match(line) and CODE_MARKS.search(line):
        return "code"
    return "text"
