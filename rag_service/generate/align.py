"""Which stretch of which passage says what a generated sentence says, if any does.

A stretch of one or two sentences supports a claim by how near the embedder finds the two and by how
much of the claim's words it holds. Words may differ; numbers, names and what is denied may not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from model_pipeline.domain import Embedder, Passage
from model_pipeline.text.sentences import sentences
from model_pipeline.text.words import denies, names, numbers, shown, terms

# Support below this is no support. Calibrated: docs/how-it-works.md says how.
SUPPORT = 0.5
WORDS_SHARE = 0.5
MAX_PAIR_WORDS = 90
# Stretches that are embedded for one claim: those that hold most of its words.
COMPARED = 8


@dataclass(frozen=True, slots=True)
class Support:
    """[start, end) of the passage of that index, one or two sentences, says it by `score`, at most
    1."""

    passage: int
    start: int
    end: int
    score: float
    sentences: int


@dataclass(frozen=True)
class _Stretch:
    passage: int
    start: int
    end: int
    text: str
    above: str
    """The headings it stands under."""
    sentences: tuple[str, ...]
    vector: list[NDArray[np.float32]] = field(default_factory=list)
    """Once it was needed."""

    @cached_property
    def stems(self) -> set[str]:
        return terms(self.text)

    @cached_property
    def stems_above(self) -> set[str]:
        return terms(self.above)

    @cached_property
    def numbers(self) -> set[str]:
        return numbers(f"{self.above} {self.text}")

    def denies(self, wanted: set[str]) -> bool:
        """Whether the one of its sentences that is about `wanted` denies something."""
        return denies(max(self.sentences, key=lambda one: len(wanted & terms(one))))

    def holds(self, wanted: set[str]) -> float:
        """The share of `wanted` in it; one that only its heading has counts half."""
        own = len(wanted & self.stems)
        return (own + len((wanted & self.stems_above) - self.stems) / 2) / len(wanted)


class Aligner:
    """For the passages of one answer. Not thread-safe."""

    def __init__(self, embedder: Embedder, passages: Sequence[Passage], question: str = "") -> None:
        """Names may come from the question as well as from the passage."""
        self._embedder = embedder
        self._passages = passages
        self._asked = terms(question)

    @cached_property
    def _words(self) -> list[set[str]]:
        """All of each passage, with what it stands under."""
        return [
            terms(" ".join((one.title, *one.heading_path, one.content))) | self._asked
            for one in self._passages
        ]

    @cached_property
    def _stretches(self) -> list[_Stretch]:
        return [one for n, passage in enumerate(self._passages) for one in _stretches(n, passage)]

    def supports(self, claim: str, cited: Sequence[int]) -> list[Support]:
        """The best stretch of each cited passage that says `claim`; where none does, the best of
        all passages; empty where there is none. A claim of several passages may take its numbers
        from all of them."""
        claim = shown(claim)
        wanted = terms(claim)
        if not wanted:
            return []
        vector = self._embedder.embed([claim])[0]
        found = [self._best(claim, wanted, vector, [one], cited) for one in dict.fromkeys(cited)]
        if not any(found):
            others = [one for one in range(len(self._passages)) if one not in cited]
            found = [self._best(claim, wanted, vector, others, ())]
        return [one for one in found if one is not None]

    def _best(
        self,
        claim: str,
        wanted: set[str],
        vector: NDArray[np.float32],
        within: Sequence[int],
        beside: Sequence[int],
    ) -> Support | None:
        given = {
            number
            for one in self._stretches
            if one.passage in beside and one.passage not in within
            for number in one.numbers
        }
        counted = numbers(claim) - given
        named = names(claim)
        possible = [
            one
            for one in self._stretches
            if one.passage in within
            and named <= self._words[one.passage]
            and counted <= one.numbers
            and denies(claim) == one.denies(wanted)
        ]
        possible.sort(key=lambda one: -one.holds(wanted))
        found: list[Support] = []
        for one, nearness in zip(possible, self._near(vector, possible[:COMPARED]), strict=False):
            score = (1 - WORDS_SHARE) * nearness + WORDS_SHARE * one.holds(wanted)
            if score >= SUPPORT:
                found.append(Support(one.passage, one.start, one.end, score, len(one.sentences)))
        # One sentence that is enough is a better quote than two.
        return max(found, key=lambda one: (-one.sentences, one.score), default=None)

    def _near(self, vector: NDArray[np.float32], stretches: Sequence[_Stretch]) -> list[float]:
        """The cosine with each."""
        fresh = [one for one in stretches if not one.vector]
        texts = [f"{one.above}: {one.text}" if one.above else one.text for one in fresh]
        if texts:
            for one, found in zip(fresh, self._embedder.embed(texts), strict=True):
                one.vector.append(found)
        return [float(one.vector[0] @ vector) for one in stretches]


def _stretches(number: int, passage: Passage) -> list[_Stretch]:
    above = shown(passage.heading_path[-1] if passage.heading_path else passage.title)
    pieces = [one for one in sentences(passage.content) if one.kind != "heading"]
    found = []
    for first, last in [(n, n) for n in range(len(pieces))] + [
        (n, n + 1) for n in range(len(pieces) - 1)
    ]:
        start, end = pieces[first].start, pieces[last].end
        said = tuple(
            shown(passage.content[one.start : one.end]) for one in pieces[first : last + 1]
        )
        text = " ".join(said)
        if not text or (first != last and len(text.split()) > MAX_PAIR_WORDS):
            continue
        found.append(_Stretch(number, start, end, text, above, said))
    return found
