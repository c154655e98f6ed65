"""Plain text and reStructuredText: paragraphs, and headings told by their adornment lines.

docutils would resolve directives and roles, and with them lose the offsets that citations need.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from model_pipeline.documents.decode import decode
from model_pipeline.documents.found import Found, ReadLimits
from model_pipeline.documents.outline import Outline
from model_pipeline.domain import Document, Section

ADORNMENT = re.compile(r"([=\-~^\"'*+#:.`_])\1{2,}\s*$")
BLANKS = re.compile(r"\n[ \t]*\n\s*")


def read(found: Found, content: bytes, limits: ReadLimits) -> Document:
    text = decode(content, found.source)
    outline = Outline()
    levels: dict[str, int] = {}
    title = ""
    blocks = []
    for start, end in paragraphs(text):
        heading = _heading(text[start:end])
        if heading:
            name, adornment = heading
            title = title or name
            outline.heading(levels.setdefault(adornment, len(levels) + 1), name)
        blocks.append(Section(start, end, outline.path))
    return Document(found.source, title or found.name, text, blocks=tuple(blocks))


def paragraphs(text: str, start: int = 0) -> Iterator[tuple[int, int]]:
    """[start, end) of the stretches between blank lines; the blanks belong to the one before."""
    at = start
    for blank in BLANKS.finditer(text, start):
        if text[at : blank.start()].strip():
            yield at, blank.end()
            at = blank.end()
    if at < len(text):
        yield at, len(text)


def _heading(paragraph: str) -> tuple[str, str] | None:
    """(title, kind of adornment) of a paragraph that is a heading, with or without an overline."""
    lines = paragraph.strip("\n").rstrip().split("\n")
    if len(lines) == 3 and ADORNMENT.match(lines[0]) and lines[0].rstrip() == lines[2].rstrip():
        return lines[1].strip(), lines[0][0] * 2
    if len(lines) == 2 and lines[0].strip() and not lines[0].startswith(" "):
        adornment = ADORNMENT.match(lines[1])
        if adornment and len(lines[1].rstrip()) >= min(len(lines[0].rstrip()), 3):
            return lines[0].strip(), adornment[1]
    return None
