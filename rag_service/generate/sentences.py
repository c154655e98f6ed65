"""A passage to the pieces an answer is made of, with their exact places."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

Kind = Literal["text", "item", "code", "heading", "table"]

ABBREVIATIONS = (
    "e.g i.e etc vs cf dr mr mrs ms prof st no fig eq sec ch vol approx dept est inc ltd co corp "
    "jan feb mar apr jun jul aug sep sept oct nov dec a.m p.m u.s u.k al resp incl ver v"
)
FENCE = re.compile(r"^[ \t]*(```|~~~)")
HEADING = re.compile(r"^#{1,6}\s")
ADORNMENT = re.compile(r"^([=\-~^\"*+#:.`_])\1{2,}\s*$")
ITEM = re.compile(r"^[ \t]*(?:[-*+•]|\d{1,3}[.)])\s+\S")
INDENTED = re.compile(r"^(?: {3,}|\t)\S")
CODE_MARKS = re.compile(
    r"::=|[{};]\s*$|^\s*(?:>>>|\$|def |class |import |from |return |if .*:$)|=\s|\w\("
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """[start, end) in the passage's content."""

    start: int
    end: int
    kind: Kind


def _punkt() -> PunktSentenceTokenizer:
    parameters = PunktParameters()
    parameters.abbrev_types.update(ABBREVIATIONS.split())
    return PunktSentenceTokenizer(parameters)


_PUNKT = _punkt()


def sentences(content: str) -> list[Sentence]:
    """Sentences, list items, code blocks, headings and table rows, in order."""
    found: list[Sentence] = []
    for start, end, kind in _blocks(content):
        if kind == "text":
            for a, b in _PUNKT.span_tokenize(content[start:end]):
                found.append(Sentence(start + a, start + b, "text"))
        else:
            found.append(Sentence(*_trimmed(content, start, end), kind))
    return [sentence for sentence in found if sentence.end > sentence.start]


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
        fence = FENCE.match(line) is not None
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
    if INDENTED.match(line) and (before == "code" or CODE_MARKS.search(line)):
        return "code"
    return "text"
