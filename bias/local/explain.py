"""Why a text got its level: spans of it, the dimension, and one sentence in plain words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from bias.local.cues import Cue, cues
from bias.local.encoder import Read
from bias.verdicts import Dimension, Evidence

MOST = 3  # spans of a verdict
LONGEST_QUOTE = 120  # characters of a quote in a reason
LEVELS = {
    1: "It reads as harmful",
    2: "It reads as unfair",
    3: "It can be read as unfair",
    4: "It reads as fair, with a word that some may mind",
    5: "Nothing in it reads as harmful or unfair",
}
DIMENSIONS = {
    Dimension.STEREOTYPING: "a trait is laid on a whole group",
    Dimension.DEROGATION: "people are insulted, threatened or put down",
    Dimension.EXCLUSION: "people are to be kept out or away",
    Dimension.UNEQUAL_TREATMENT: "people are held to be worth less or to deserve less",
    Dimension.LOADED_LANGUAGE: "the words themselves take sides against people",
}


def spans(
    text: str, start: int, piece: str, read: Read
) -> tuple[tuple[Evidence, ...], Dimension | None]:
    """Evidence in `piece`, which stands at `start` in `text`, and the dimension that most of it is
    of: the words that weigh most, and the cues among those that weigh against the text."""
    harm = _by_word(piece, read)
    found = sorted(cues(piece), key=lambda cue: -_weight(harm, cue.start, cue.end))
    counted: defaultdict[Dimension, float] = defaultdict(float)
    for cue in found:
        counted[cue.dimension] += max(_weight(harm, cue.start, cue.end), 0.0)
    dimension = max(counted, key=counted.__getitem__) if counted else None
    heaviest = _heaviest(harm)
    chosen: list[Cue | tuple[int, int]] = []
    chosen += [cue for cue in found if cue.dimension == dimension][: MOST - 1]
    if heaviest is not None and not any(_overlap(heaviest, cue) for cue in chosen):
        chosen.insert(0, heaviest)
    evidence = []
    for one in chosen:
        a, b = (one.start, one.end) if isinstance(one, Cue) else one
        own = one.dimension if isinstance(one, Cue) else None
        evidence.append(Evidence(start + a, start + b, text[start + a : start + b], own))
    return tuple(evidence), dimension


def explain(
    level: int,
    evidence: Sequence[Evidence],
    dimension: Dimension | None,
    *,
    sure: bool,
    english: bool,
) -> str:
    said = LEVELS[level]
    if dimension is not None and level < 5:
        said += f": {DIMENSIONS[dimension]}"
    if evidence and level < 5:
        quote = " ".join(evidence[0].quote.split())
        said += f" (“{quote[:LONGEST_QUOTE]}”)"
    if not english:
        return f"{said}; but it is not in English, which is all that this judge can read."
    return f"{said}." if sure else f"{said}; but the judge is not sure of it."


def _by_word(piece: str, read: Read) -> list[tuple[int, int, float]]:
    """(start, end, harm) of each word: how far its tokens stand below the middle of the text's."""
    middle = float(np.median(read.parts))
    words: list[tuple[int, int, float]] = []
    for (start, end), part in zip(read.places, read.parts, strict=True):
        if start == end:  # the marks of a text's beginning and end
            continue
        harm = middle - float(part)
        if words and words[-1][1] == start and piece[start - 1 : start].isalnum():
            before = words.pop()
            words.append((before[0], end, before[2] + harm))
        else:
            words.append((start, end, harm))
    return words


def _heaviest(harm: Sequence[tuple[int, int, float]]) -> tuple[int, int] | None:
    """The stretch of words whose harm adds up to the most (Kadane's algorithm)."""
    best, span = 0.0, None
    total, first = 0.0, 0
    for start, end, value in harm:
        if total <= 0:
            total, first = 0.0, start
        total += value
        if total > best:
            best, span = total, (first, end)
    return span


def _weight(harm: Sequence[tuple[int, int, float]], start: int, end: int) -> float:
    return sum(value for a, b, value in harm if a < end and start < b)


def _overlap(span: tuple[int, int], cue: Cue | tuple[int, int]) -> bool:
    a, b = (cue.start, cue.end) if isinstance(cue, Cue) else cue
    return span[0] < b and a < span[1]
