"""The parts of a test set that figures are given for: whole sets hide where a release is weak.

Slices are of the examples alone, never of what was answered, so that two releases have the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model_pipeline.evaluation.language import language

ANSWER, LENGTH = "answerability", "question length"  # tags of these names are not sliced by
ANSWERABLE = {True: "answerable", False: "not answerable", None: "not known"}
# Characters, since not every script puts spaces between words.
LENGTHS = {50: "up to 50 characters", 100: "51 to 100", 200: "101 to 200"}
LONGER = "over 200"
UNTAGGED = "(none)"
LANGUAGE = "language"
UNCLEAR = {None, "Latin"}  # too short a text, or a language that is not listed


class Sliced(Protocol):
    """An example, or its row of a scorecard."""

    @property
    def question(self) -> str: ...
    @property
    def answerable(self) -> bool | None: ...
    @property
    def tags(self) -> Mapping[str, str]: ...


def slices(examples: Sequence[Sliced]) -> dict[tuple[str, str], NDArray[np.bool_]]:
    """(by what, value) to the examples [n] that are of it. A tag that some examples lack has a
    slice for those as well; a partition with one part only is the whole set and left out. Where no
    tag tells languages, they are found where the questions show at least two."""
    of = {tag: [e.tags.get(tag, UNTAGGED) for e in examples] for tag in _tags(examples)}
    of[ANSWER] = [ANSWERABLE[example.answerable] for example in examples]
    languages = [language(example.question) for example in examples]
    if LANGUAGE not in of and len(set(languages) - UNCLEAR) > 1:
        of[LANGUAGE] = ["not known" if one in UNCLEAR else str(one) for one in languages]
    of[LENGTH] = [_length(example.question) for example in examples]
    found = {}
    for by, values in of.items():
        parts = sorted(set(values), key=_order)
        for value in parts if len(parts) > 1 else ():
            found[by, value] = np.array([one == value for one in values])
    return found


def _tags(examples: Sequence[Sliced]) -> list[str]:
    return sorted({tag for example in examples for tag in example.tags} - {ANSWER, LENGTH})


def _length(question: str) -> str:
    return next((name for most, name in LENGTHS.items() if len(question) <= most), LONGER)


def _order(value: str) -> tuple[int, str]:
    """Lengths from short to long, all else by name."""
    known = [*LENGTHS.values(), LONGER]
    return (known.index(value) if value in known else 0, value)
