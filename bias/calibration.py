"""Whether a judge's probabilities hold, and what it gains by abstaining."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bias.agreement import level_of
from bias.labels import Labelled
from bias.verdicts import LEVELS, Verdict

Numbers = NDArray[np.float64]
BINS = 10
COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)


@dataclass(frozen=True, slots=True)
class Bin:
    """Of `n` texts, what was foretold on average and what share of them it held for."""

    n: int
    foretold: float
    held: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """`error` is the expected calibration error: the mean distance of foretold from held, weighted
    by the bins' texts, which are as many in each."""

    error: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class Covered:
    """Of the surest `coverage` of texts: how far scores are from ratings on average (for binary
    labels the share that falls on the wrong side of level 3), and how many are a level too far."""

    coverage: float
    n: int
    risk: float
    far: float


def of_harm(verdicts: Sequence[Verdict], rows: Sequence[Labelled]) -> Calibration:
    """Of the probability of level 2 or less, against the label."""
    foretold = np.array([sum(one.probabilities[:2]) for one in verdicts])
    return calibration(foretold, np.array([float(row.harmful) for row in rows]))


def of_level(verdicts: Sequence[Verdict], rows: Sequence[Labelled]) -> Calibration | None:
    """Of the most probable level's probability, against whether people chose that level; None for
    binary labels."""
    wanted = [level_of(row.rating) for row in rows if row.rating is not None]
    if not wanted:
        return None
    chances = np.array([one.probabilities for one in verdicts])
    chosen = np.array(LEVELS)[chances.argmax(1)]
    return calibration(chances.max(1), (chosen == np.array(wanted)).astype(np.float64))


def calibration(foretold: Numbers, held: Numbers) -> Calibration:
    """`foretold` [n] from 0 to 1, `held` [n] 0 or 1."""
    parts = np.array_split(np.argsort(foretold, kind="stable"), BINS)
    bins = tuple(
        Bin(len(part), float(foretold[part].mean()), float(held[part].mean()))
        for part in parts
        if len(part)
    )
    total = sum(one.n for one in bins)
    error = sum(one.n * abs(one.foretold - one.held) for one in bins) / total if total else np.nan
    return Calibration(float(error), bins)


def covered(verdicts: Sequence[Verdict], rows: Sequence[Labelled]) -> list[Covered]:
    """The surest first, by the spread of the five probabilities; those that the judge itself calls
    sure come before the others."""
    errors = np.array([_error(v, row) for v, row in zip(verdicts, rows, strict=True)])
    far = np.array([_far(v, row) for v, row in zip(verdicts, rows, strict=True)])
    order = np.array(
        sorted(range(len(verdicts)), key=lambda n: (not verdicts[n].sure, spread(verdicts[n])))
    )
    found = []
    for coverage in COVERAGES if len(order) else ():
        first = order[: max(1, round(coverage * len(order)))]
        found.append(
            Covered(coverage, len(first), float(errors[first].mean()), float(far[first].mean()))
        )
    return found


def spread(verdict: Verdict) -> float:
    """The standard deviation of the level, in levels."""
    chances = np.array(verdict.probabilities)
    levels = np.array(LEVELS, dtype=np.float64)
    around = (levels - chances @ levels) ** 2
    return float(np.sqrt(chances @ around))


def _error(verdict: Verdict, row: Labelled) -> float:
    if row.rating is None:
        return _far(verdict, row)
    return abs(verdict.score - row.rating)


def _far(verdict: Verdict, row: Labelled) -> float:
    if row.rating is None:
        return float((verdict.level < LEVELS[2]) != row.harmful)
    return float(abs(verdict.level - level_of(row.rating)) > 1)
