"""Metrics of A and B over the same examples, side by side: which way each differs, if it does.

Each has the paired bootstrap interval of its difference and a randomisation test, whose p is
adjusted by Holm (1979) over the family of all that are compared at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from model_pipeline.evaluation.bootstrap import LEVEL, Difference
from model_pipeline.evaluation.measured import Figures, Measured
from model_pipeline.evaluation.scorecard import of_share

TIE = 1e-9
EXTREMES = 5  # examples kept of each kind
Direction = Literal["better", "worse", "no difference shown"]
Pair = tuple[Measured, Measured]
"""A's and B's of one metric, over the same examples."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One metric of A and B over the examples that both scored; `of_share` where it goes from 0 to
    1. `difference` is B less A, `wins` are examples on which B is nearer to the best; `best` and
    `worst` are the ids where B is so, or is not, by most."""

    name: str
    higher_is_better: bool
    of_share: bool
    a: float
    b: float
    difference: Difference
    p_holm: float
    direction: Direction
    wins: int
    losses: int
    ties: int
    best: tuple[str, ...]
    worst: tuple[str, ...]


def compared(pair: Pair, difference: Difference, ids: Sequence[str]) -> Compared:
    """Of the examples `ids`; to be decided with its family."""
    a, b = pair
    gain = np.abs(a.each() - a.best) - np.abs(b.each() - a.best)
    gain = np.where(np.isfinite(gain), gain, 0.0)
    gain[np.abs(gain) <= TIE] = 0.0
    wins, losses = int((gain > 0).sum()), int((gain < 0).sum())
    return Compared(
        name=a.name,
        higher_is_better=a.higher_is_better,
        of_share=of_share(a),
        a=a.figure(a.scored),
        b=b.figure(b.scored),
        difference=difference,
        p_holm=math.nan,
        direction="no difference shown",
        wins=wins,
        losses=losses,
        ties=difference.n - wins - losses,
        best=_furthest(-gain, ids),
        worst=_furthest(gain, ids),
    )


def decided(family: Sequence[Compared]) -> tuple[Compared, ...]:
    """With p adjusted over all of them, and the direction that it and the interval show."""
    adjusted = holm([one.difference.p for one in family])
    return tuple(
        replace(one, p_holm=p, direction=_direction(one, p))
        for one, p in zip(family, adjusted, strict=True)
    )


def holm(ps: Sequence[float]) -> list[float]:
    """Adjusted for as many tests as have a p; NaN stays (Holm 1979)."""
    ranked = sorted((p, index) for index, p in enumerate(ps) if not math.isnan(p))
    adjusted = [math.nan] * len(ps)
    most = 0.0
    for rank, (p, index) in enumerate(ranked):
        most = max(most, min(1.0, p * (len(ranked) - rank)))
        adjusted[index] = most
    return adjusted


def _furthest(gain: Figures, ids: Sequence[str]) -> tuple[str, ...]:
    """The ids of what is most below 0."""
    order = np.argsort(gain, kind="stable")[:EXTREMES]
    return tuple(ids[place] for place in order if gain[place] < 0)


def _direction(one: Compared, p: float) -> Direction:
    within = one.difference.interval
    if not p < 1 - LEVEL or within.low <= 0 <= within.high:
        return "no difference shown"
    return "better" if (one.difference.difference > 0) == one.higher_is_better else "worse"
