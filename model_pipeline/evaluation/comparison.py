"""Two scorecards over the same frozen test set, example by example: is B better than A?

Each metric has the paired bootstrap interval of its difference, a randomisation test, and the p of
it adjusted by Holm (1979) over the family of all metrics compared. The weighted score and the
composite, which decisions are made by, are resampled as one figure: B is better by them where it is
so by the margin and the interval is above 0, for a bare margin promotes noise half of the time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from model_pipeline.errors import InvalidInput
from model_pipeline.evaluation.bootstrap import DRAWS, LEVEL, Difference, Interval
from model_pipeline.evaluation.bootstrap import compare as differ
from model_pipeline.evaluation.measured import Figures, Measured
from model_pipeline.evaluation.scorecard import NEITHER, RUBRIC, Scorecard, of_share
from model_pipeline.evaluation.weighted import Weighted, composite, weighted_score
from model_pipeline.evaluation.weights import Weights

TIE = 1e-9
EXTREMES = 5  # examples kept of each kind
Direction = Literal["better", "worse", "different", "no difference shown"]


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


@dataclass(frozen=True, slots=True)
class Score:
    """A weighted sum. `better` is by the margin and by the interval."""

    a: float
    b: float
    difference: float
    interval: Interval
    margin: float

    @property
    def better(self) -> bool:
        return self.difference >= self.margin and self.interval.low > 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """`weighted_score` and `composite` are the score, or why there is none. `rows_b` are B's rows
    in A's order. `only` names the metrics that one of both lacks."""

    a: Scorecard
    b: Scorecard
    metrics: tuple[Compared, ...]
    weighted_score: Score | str
    composite: Score | str
    weights: Weights
    bias: tuple[float | None, float | None]
    only: tuple[str, ...]
    order_b: tuple[int, ...]
    seed: int


def compare(
    a: Scorecard,
    b: Scorecard,
    weights: Weights,
    *,
    seed: int = 0,
    draws: int = DRAWS,
    bias_a: float | None = None,
    bias_b: float | None = None,
) -> Comparison:
    """`bias_a` and `bias_b` are mean rubric scores (1 to 5) where the scorecards have none.

    Raises InvalidInput for scorecards of other test sets, or a metric measured in another way.
    """
    if a.test_set_hash != b.test_set_hash:
        raise InvalidInput(
            f"A is of the test set {a.test_set} ({a.test_set_hash[:12]}) and B of {b.test_set} "
            f"({b.test_set_hash[:12]}): only scorecards of the same test set can be compared."
        )
    order = _order(a, b)
    of_a = {one.name: one for one in a.measured}
    of_b = {one.name: one.only(order) for one in b.measured}
    shared = [name for name in of_a if name in of_b]
    for name in shared:
        _require_alike(of_a[name], of_b[name])
    paired = {name: _both(of_a[name], of_b[name]) for name in shared}
    ids = [row.example_id for row in a.rows]
    found = [_compared(*paired[name], ids, seed, draws) for name in shared]
    biases = (_bias(bias_a, a), _bias(bias_b, b))
    first = {name: pair[0] for name, pair in paired.items()}
    second = {name: pair[1] for name, pair in paired.items()}
    return Comparison(
        a=a,
        b=b,
        metrics=_decided(found),
        weighted_score=weigh(
            weighted_score(first, weights),
            weighted_score(second, weights),
            margin=weights.margin,
            seed=seed,
            draws=draws,
        ),
        composite=weigh(
            composite(first, weights, biases[0]),
            composite(second, weights, biases[1]),
            margin=weights.margin,
            seed=seed,
            draws=draws,
        ),
        weights=weights,
        bias=biases,
        only=tuple(sorted(set(of_a) ^ set(of_b))),
        order_b=tuple(int(place) for place in order),
        seed=seed,
    )


def weigh(
    a: Weighted | str, b: Weighted | str, *, margin: float, seed: int, draws: int = DRAWS
) -> Score | str:
    """Or why one of both is not there."""
    if isinstance(a, str):
        return a
    if isinstance(b, str):
        return b
    found = differ(a, b, seed=seed, draws=draws)
    first, second = a.figure(a.scored), b.figure(b.scored)
    return Score(first, second, found.difference, found.interval, margin)


def holm(ps: Sequence[float]) -> list[float]:
    """Adjusted for as many tests as have a p; NaN stays (Holm 1979)."""
    ranked = sorted((p, index) for index, p in enumerate(ps) if not math.isnan(p))
    adjusted = [math.nan] * len(ps)
    most = 0.0
    for rank, (p, index) in enumerate(ranked):
        most = max(most, min(1.0, p * (len(ranked) - rank)))
        adjusted[index] = most
    return adjusted


def _order(a: Scorecard, b: Scorecard) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """B's place of each of A's examples: the hash is the same in any order."""
    places = {row.example_id: place for place, row in enumerate(b.rows)}
    if len(places) != len(a.rows) or any(row.example_id not in places for row in a.rows):
        raise InvalidInput("A and B are of the same test set but not of the same examples.")
    return np.array([places[row.example_id] for row in a.rows], dtype=np.intp)


def _require_alike(a: Measured, b: Measured) -> None:
    if a.signature != b.signature:
        raise InvalidInput(
            f"{a.name} was measured in two ways, {a.signature} in A and {b.signature} in B: "
            "evaluate both with the same version and settings."
        )


def _both(a: Measured, b: Measured) -> tuple[Measured, Measured]:
    """As if neither had scored what the other did not."""
    both = a.scored & b.scored
    return a.masked(both), b.masked(both)


def _compared(a: Measured, b: Measured, ids: Sequence[str], seed: int, draws: int) -> Compared:
    found = differ(a, b, seed=seed, draws=draws)
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
        difference=found,
        p_holm=math.nan,
        direction="no difference shown",
        wins=wins,
        losses=losses,
        ties=found.n - wins - losses,
        best=_furthest(-gain, ids),
        worst=_furthest(gain, ids),
    )


def _furthest(gain: Figures, ids: Sequence[str]) -> tuple[str, ...]:
    """The ids of what is most below 0."""
    order = np.argsort(gain, kind="stable")[:EXTREMES]
    return tuple(ids[place] for place in order if gain[place] < 0)


def _decided(found: Sequence[Compared]) -> tuple[Compared, ...]:
    """With p adjusted over all of them, and the direction that it and the interval show."""
    adjusted = holm([one.difference.p for one in found])
    return tuple(
        replace(one, p_holm=p, direction=_direction(one, p))
        for one, p in zip(found, adjusted, strict=True)
    )


def _direction(one: Compared, p: float) -> Direction:
    within = one.difference.interval
    if not p < 1 - LEVEL or within.low <= 0 <= within.high:
        return "no difference shown"
    if one.name in NEITHER:
        return "different"
    return "better" if (one.difference.difference > 0) == one.higher_is_better else "worse"


def _bias(given: float | None, card: Scorecard) -> float | None:
    bias = card.bias if given is None else given
    if bias is not None and not RUBRIC[0] <= bias <= RUBRIC[1]:
        raise InvalidInput(f"The rubric score of bias is {bias}: give a mean from 1 to 5.")
    return bias
