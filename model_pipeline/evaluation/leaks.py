"""Near-duplicates between a test set and other texts, such as training data: a leak makes every
figure too good.

A text is its set of 5-grams of characters, without case, marks and spacing (Broder 1997). How much
of an example's text stands in another is |A and B| / |A|, exactly: an example that shares at least
t of its shingles with a text shares at least one of its rarest |A| - ceil(t |A|) + 1 (prefix
filtering: Chaudhuri, Ganti, Kaushik 2006), so that only those are looked up, and the other texts
are read once. Of a long text, each sentence is compared as well: a question that stands within a
prompt is found.

Range 0 to 1; 1 is the same text. Known not to be found: paraphrases, translations.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model_pipeline.errors import InvalidInput
from model_pipeline.evaluation.examples import Example

THRESHOLD = 0.8
SHINGLE = 5
SHORTEST = 12  # characters: shorter texts are alike by chance
LONGEST_RATIO = 2.0  # a text of more than this many times the shingles is compared by sentences
MOST_CHARACTERS = 200_000  # of one text
WORD = re.compile(r"[^\W_]+")
ENDS = re.compile(r"(?<=[.!?。！？])\s+|\n+")


@dataclass(frozen=True, slots=True)
class Leak:
    """`example_id`'s question or reference (`part`) stands to `likeness` in `text` of `place`."""

    example_id: str
    part: str
    place: str
    likeness: float
    text: str


class Index:
    """Over the questions and references of examples."""

    def __init__(self, examples: Sequence[Example], *, threshold: float = THRESHOLD) -> None:
        if not 0 < threshold <= 1:
            raise InvalidInput(f"The threshold is {threshold}: give one above 0, at most 1.")
        self._threshold = threshold
        parts = [
            (example.example_id, part, found)
            for example in examples
            for part, text in _parts(example)
            if (found := shingles(text))
        ]
        counts = Counter(shingle for *_, found in parts for shingle in found)
        self._parts = parts
        self._by_shingle: dict[str, list[int]] = defaultdict(list)
        for number, (*_, found) in enumerate(parts):
            rarest = sorted(found, key=lambda one: (counts[one], one))
            for shingle in rarest[: len(found) - math.ceil(threshold * len(found)) + 1]:
                self._by_shingle[shingle].append(number)

    def leaks(self, texts: Iterable[tuple[str, str]]) -> Iterator[Leak]:
        """Of (place, text), in their order: for each place the best of each part of an example."""
        for place, text in texts:
            best: dict[tuple[str, str], Leak] = {}
            for unit in _units(text[:MOST_CHARACTERS]):
                for leak in self._in_unit(place, unit):
                    key = leak.example_id, leak.part
                    if key not in best or best[key].likeness < leak.likeness:
                        best[key] = leak
            yield from best.values()

    def _in_unit(self, place: str, text: str) -> Iterator[Leak]:
        found = shingles(text)
        near = {n for shingle in found for n in self._by_shingle.get(shingle, ())}
        for number in sorted(near):
            example_id, part, wanted = self._parts[number]
            if len(found) > LONGEST_RATIO * len(wanted):
                continue
            likeness = len(wanted & found) / len(wanted)
            if likeness >= self._threshold:
                yield Leak(example_id, part, place, likeness, " ".join(text.split())[:300])


def within(examples: Sequence[Example], *, threshold: float = THRESHOLD) -> list[Leak]:
    """Questions of a test set that are nearly another's of it: they count twice."""
    index = Index([_question_alone(one) for one in examples], threshold=threshold)
    found = index.leaks((one.example_id, one.question) for one in examples)
    pairs = {frozenset((leak.example_id, leak.place)): leak for leak in found}
    return [leak for leak in pairs.values() if leak.example_id != leak.place]


def texts(row: Any, place: str) -> Iterator[tuple[str, str]]:
    """Every text in a row of JSON, with the path to it."""
    match row:
        case str():
            yield place, row
        case Mapping():
            for key, value in row.items():
                yield from texts(value, f"{place}.{key}")
        case list():
            for number, value in enumerate(row):
                yield from texts(value, f"{place}[{number}]")


def shingles(text: str) -> set[str]:
    plain = " ".join(WORD.findall(unicodedata.normalize("NFKC", text).casefold()))
    if len(plain) < SHORTEST:
        return {plain} if plain else set()
    return {plain[at : at + SHINGLE] for at in range(len(plain) - SHINGLE + 1)}


def _parts(example: Example) -> Iterator[tuple[str, str]]:
    yield "question", example.question
    for reference in example.references:
        yield "reference", reference


def _question_alone(example: Example) -> Example:
    return Example(example.example_id, example.question)


def _units(text: str) -> Iterator[str]:
    yield text
    parts = ENDS.split(text)
    if len(parts) > 1:
        yield from parts
