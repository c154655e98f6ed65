"""Documents to chunks, along their structure, sized in the embedder's own tokens.

The chunks of a document partition it: no character is lost or doubled. Blocks stay whole where they
fit; neighbours under one heading share a chunk; a heading stands with what follows it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from model_pipeline.domain import Chunk, Document

CountTokens = Callable[[Sequence[str]], list[int]]

# Where a block that is too large is cut, coarse to fine; the separator stays with what precedes it.
SEPARATORS = tuple(
    re.compile(pattern)
    for pattern in (r"\n[ \t]*\n\s*", r"\n", r"(?<=[.!?;:。！？…])[\"'”’)\]]*\s+", r"\s+")
)
# A heading, or a line or two: too small to stand alone where it can join what comes next.
SMALL_TOKENS = 30
# However few tokens its text has, a chunk stays a thing to read: a run of 100 letters is one token.
CHARACTERS_PER_TOKEN = 12
SPECIAL_TOKENS = 2
# The context line may take this share of the embedder's window; a longer one is cut off there.
CONTEXT_SHARE = 4


@dataclass(frozen=True, slots=True)
class _Piece:
    start: int
    end: int
    path: tuple[str, ...]
    weight: int


class Splitter:
    """`count_tokens` counts many texts at once; `max_tokens` is the embedder's window."""

    # Stored with each document: raised with every change that moves chunk boundaries.
    version = "1"

    def __init__(self, count_tokens: CountTokens, *, max_tokens: int) -> None:
        self._count_tokens = count_tokens
        self._max_tokens = max_tokens

    def split(self, document: Document) -> list[Chunk]:
        text = document.content
        if document.pre_chunked:
            spans = [(part.start, part.end, part.heading_path) for part in document.pre_chunked]
        else:
            spans = list(self._spans(document))
        return [
            Chunk(ordinal, start, end, text[start:end], path)
            for ordinal, (start, end, path) in enumerate(spans)
        ]

    def _spans(self, document: Document) -> Iterator[tuple[int, int, tuple[str, ...]]]:
        text = document.content
        budgets = self._budgets(document)
        limit = min(budgets.values()) - SMALL_TOKENS
        places = _places(document)
        weights = self._weights([text[start:end] for start, end, _ in places])
        pieces: list[_Piece] = []
        for (start, end, path), weight in zip(places, weights, strict=True):
            if weight <= limit:
                pieces.append(_Piece(start, end, path, weight))
            else:
                cuts = self._cut(text, start, end, limit, SEPARATORS)
                pieces += [_Piece(a, b, path, cut_weight) for a, b, cut_weight in cuts]
        yield from _pack(text, pieces, budgets)

    def _budgets(self, document: Document) -> dict[tuple[str, ...], int]:
        """Tokens that are left for the content under each heading path."""
        paths = list({block.heading_path: None for block in document.blocks} | {(): None})
        contexts = [Chunk(0, 0, 0, "", path).context(document.title) for path in paths]
        most = self._max_tokens // CONTEXT_SHARE
        return {
            path: self._max_tokens - SPECIAL_TOKENS - min(used, most)
            for path, used in zip(paths, self._count_tokens(contexts), strict=True)
        }

    def _weights(self, texts: Sequence[str]) -> list[int]:
        counts = self._count_tokens(texts)
        return [
            max(count, -(-len(text) // CHARACTERS_PER_TOKEN))
            for count, text in zip(counts, texts, strict=True)
        ]

    def _cut(
        self, text: str, start: int, end: int, limit: int, separators: Sequence[re.Pattern[str]]
    ) -> Iterator[tuple[int, int, int]]:
        """(start, end, weight) of parts of at most `limit`; a level of separators counts once."""
        if not separators:
            for at in range(start, end, limit):
                yield at, min(at + limit, end), min(limit, end - at)
            return
        ends = [match.end() for match in separators[0].finditer(text, start, end)]
        bounds = [start, *(at for at in ends if start < at < end), end]
        parts = list(pairwise(bounds))
        weights = self._weights([text[a:b] for a, b in parts])
        opened, total = start, 0
        for (a, b), weight in zip(parts, weights, strict=True):
            if total and total + weight > limit:
                yield opened, a, total
                opened, total = a, 0
            if weight > limit:
                yield from self._cut(text, a, b, limit, separators[1:])
                opened = b
            else:
                total += weight
        if total:
            yield opened, end, total


def _places(document: Document) -> list[tuple[int, int, tuple[str, ...]]]:
    """The blocks, stretched so that each reaches to the next and all characters are in one."""
    if not document.blocks:
        return [(0, len(document.content), ())]
    starts = [0, *(block.start for block in document.blocks[1:]), len(document.content)]
    return [
        (start, end, block.heading_path)
        for start, end, block in zip(starts, starts[1:], document.blocks, strict=False)
        if start < end
    ]


def _pack(
    text: str, pieces: Sequence[_Piece], budgets: dict[tuple[str, ...], int]
) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Neighbours under one heading together, as many as fit."""
    start, end, weight = 0, 0, 0
    path: tuple[str, ...] = ()
    for piece in pieces:
        under = piece.path[: len(path)] == path
        joins = end == start or (piece.path == path or (under and weight <= SMALL_TOKENS))
        blank = not text[start:end].strip() or not text[piece.start : piece.end].strip()
        if blank or (joins and weight + piece.weight <= budgets[piece.path]):
            path = piece.path if under or not weight else path
            end, weight = piece.end, weight + piece.weight
            continue
        yield start, end, path
        start, end, path, weight = piece.start, piece.end, piece.path, piece.weight
    if end > start:
        yield start, end, path
