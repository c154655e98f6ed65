"""What looks personal in a text: found, and taken out.

By its form alone, in a few languages: an address, a phone, card or account number, a name that is
given as one's own, a password. Other names are words like any others, and stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

REDACTED = "[personal]"
# What follows is taken with it: up to three words of a name, one of a secret.
_NAME = r"(?:\s+\w[\w'’-]*(?:\s+(?-i:[A-ZÀ-Þ])[\w'’-]*){0,2})?"
PERSONAL = re.compile(
    r"[\w.+-]+@[\w-]+\.\w(?:[\w.-]*\w)?"  # mail
    r"|(?<![\w.])\+?\(?(?:\d[\s().-]{0,2}){9,}"  # phone, card, account
    r"|\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,}(?: ?[A-Z0-9]{1,3}\b)?"  # IBAN
    r"|\b(?:(?:my|his|her) name is|i am called|ich heiße|mein name ist|je m['’]appelle|me llamo)\b"
    + _NAME
    + r"|(?:\b(?:password|passwort|api[ _-]?key|secret)\s*(?:is|ist|[:=]))(?:\s*\S+)?",
    re.IGNORECASE,
)
Piece = tuple[str, bool]
"""A stretch of a text, and whether it is marked."""


def redacted(text: str, marks: Sequence[tuple[int, int]] = ()) -> list[Piece]:
    """`text` in pieces without what looks personal; `marks` are [start, end) of it, in
    characters."""
    pieces: list[Piece] = []
    at = 0
    for found in PERSONAL.finditer(text):
        start, end = found.span()
        # A number takes the space behind it, which is not personal.
        end -= len(found[0]) - len(found[0].rstrip())
        pieces += _cut(text, at, start, marks)
        pieces.append((REDACTED, any(a < end and b > start for a, b in marks)))
        at = end
    return [*pieces, *_cut(text, at, len(text), marks)]


def _cut(text: str, start: int, end: int, marks: Sequence[tuple[int, int]]) -> Iterator[Piece]:
    ends = {min(max(place, start), end) for mark in marks for place in mark}
    for a, b in pairwise(sorted({start, end} | ends)):
        yield text[a:b], any(first <= a and b <= last for first, last in marks)
