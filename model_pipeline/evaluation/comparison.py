"""Two scorecards over the same frozen test set, example by example: is B better than A?

The weighted score and the composite, which decisions are made by, are resampled as one figure: B is
better by them where it is so by the margin and the interval is above 0, for a bare margin promotes
noise half of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from model_pipeline.errors import InvalidInput
from model_pipeline.evaluation.bootstrap import DRAWS, Difference, Interval, comparisons
from model_pipeline.evaluation.bootstrap import compare as differ
from model_pipeline.evaluation.compared import Compared, Pair, compared, decided
from model_pipeline.evaluation.compared_slices import ComparedSlice, compared_slices
from model_pipeline.evaluation.length import distance
from model_pipeline.evaluation.measured import Measured
from model_pipeline.evaluation.scorecard import RUBRIC, Scorecard
from model_pipeline.evaluation.weighted import Weighted, composite, weighted_score
from model_pipeline.evaluation.weights import Weights

BESIDE = ("rouge_l_f1", "length_ratio")  # precision alone rewards short answers
GIVEN = "bias was given as a number, and how sure it is nobody knows"


@dataclass(frozen=True, slots=True)
class Score:
    """A weighted sum. `better` is by the margin and by the interval, and never where `undecided`
    says what the interval does not know of."""

    a: float
    b: float
    difference: float
    interval: Interval
    margin: float
    undecided: str | None = None

    @property
    def better(self) -> bool:
        ahead = self.difference >= self.margin and self.interval.low > 0
        return ahead and self.undecided is None


@dataclass(frozen=True, slots=True)
class Comparison:
    """`weighted_score` and `composite` are the score, or why there is none. `beside` are figures of
    A and B to be read with it. `order_b` are the places of B's rows in A's order. `only` names the
    metrics that one of both lacks."""

    a: Scorecard
    b: Scorecard
    metrics: tuple[Compared, ...]
    slices: tuple[ComparedSlice, ...]
    weighted_score: Score | str
    composite: Score | str
    beside: Mapping[str, tuple[float, float]]
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
    by: Sequence[str] = (),
) -> Comparison:
    """`bias_a` and `bias_b` are mean rubric scores (1 to 5) where the scorecards have none. `by`
    names what is compared part by part, too (`compared_slices`).

    Raises InvalidInput for scorecards of other test sets, a metric measured in another way, or
    slices that there are none of.
    """
    if a.test_set_hash != b.test_set_hash:
        raise InvalidInput(
            f"A is of the test set {a.test_set} ({a.test_set_hash[:12]}) and B of {b.test_set} "
            f"({b.test_set_hash[:12]}): only scorecards of the same test set can be compared."
        )
    order = _order(a, b)
    of_a = {one.name: one for one in a.measured}
    of_b = {one.name: one.only(order) for one in b.measured}
    paired = {name: _paired(of_a[name], of_b[name]) for name in of_a if name in of_b}
    biases = (_bias(bias_a, a), _bias(bias_b, b))
    scores = {
        "weighted_score": _sums(lambda of, _: weighted_score(of, weights), of_a, of_b, paired),
        "composite": _sums(
            lambda of, side: composite(of, weights, biases[side]), of_a, of_b, paired
        ),
    }
    sums = {name: sum for name, sum in scores.items() if not isinstance(sum, str)}
    shown = {name: _nearer(pair) for name, pair in paired.items()}
    found = comparisons([*shown.values(), *sums.values()], seed=seed, draws=draws)
    ids = [row.example_id for row in a.rows]
    scored = {
        name: _score(sums[name], difference, weights.margin)
        for name, difference in zip(sums, found[len(shown) :], strict=True)
    }
    if "composite" in scored and weights.composite.get("bias") and "bias" not in paired:
        scored["composite"] = replace(scored["composite"], undecided=GIVEN)
    return Comparison(
        a=a,
        b=b,
        metrics=decided(
            [compared(*one, ids) for one in zip(shown.values(), found[: len(shown)], strict=True)]
        ),
        slices=compared_slices(paired | sums, a.rows, by, seed=seed, draws=draws) if by else (),
        weighted_score=scored.get("weighted_score") or str(scores["weighted_score"]),
        composite=scored.get("composite") or str(scores["composite"]),
        beside={
            name: (paired[name][0].figure(), paired[name][1].figure())
            for name in BESIDE
            if name in paired
        },
        weights=weights,
        bias=biases,
        only=tuple(sorted(set(of_a) ^ set(of_b))),
        order_b=tuple(int(place) for place in order),
        seed=seed,
    )


def weigh(a: Weighted, b: Weighted, *, margin: float, seed: int, draws: int = DRAWS) -> Score:
    return _score((a, b), differ(a, b, seed=seed, draws=draws), margin)


def _score(pair: tuple[Weighted, Weighted], found: Difference, margin: float) -> Score:
    a, b = pair
    return Score(a.figure(a.scored), b.figure(b.scored), found.difference, found.interval, margin)


def _sums(
    make: Callable[[Mapping[str, Measured], int], Weighted | str],
    of_a: Mapping[str, Measured],
    of_b: Mapping[str, Measured],
    paired: Mapping[str, Pair],
) -> tuple[Weighted, Weighted] | str:
    """What `make` makes of A's (0) and B's (1) metrics over the examples that both scored, or why
    it cannot."""
    sides: dict[str, list[str]] = {}
    for side, own in enumerate((of_a, of_b)):
        made = make(own, side)
        if isinstance(made, str):
            sides.setdefault(made, []).append("AB"[side])
    if sides:
        return ", ".join(f"{why} in {' and '.join(which)}" for why, which in sides.items())
    a = make({name: pair[0] for name, pair in paired.items()}, 0)
    b = make({name: pair[1] for name, pair in paired.items()}, 1)
    if isinstance(a, str) or isinstance(b, str):
        return f"{a if isinstance(a, str) else b} in the same way, or of the same examples, in both"
    return a, b


def _order(a: Scorecard, b: Scorecard) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """B's place of each of A's examples: the hash is the same in any order."""
    places = {row.example_id: place for place, row in enumerate(b.rows)}
    if len(places) != len(a.rows) or any(row.example_id not in places for row in a.rows):
        raise InvalidInput("A and B are of the same test set but not of the same examples.")
    return np.array([places[row.example_id] for row in a.rows], dtype=np.intp)


def _paired(a: Measured, b: Measured) -> Pair:
    """As if neither had scored what the other did not."""
    if a.signature != b.signature:
        raise InvalidInput(
            f"{a.name} was measured in two ways, {a.signature} in A and {b.signature} in B: "
            "evaluate both with the same version and settings."
        )
    both = a.scored & b.scored
    return a.masked(both), b.masked(both)


def _nearer(pair: Pair) -> Pair:
    """Of the length ratio, of which neither more nor less is better, how far it is from 1."""
    return (distance(pair[0]), distance(pair[1])) if pair[0].name == "length_ratio" else pair


def _bias(given: float | None, card: Scorecard) -> float | None:
    bias = card.bias if given is None else given
    if bias is not None and not RUBRIC[0] <= bias <= RUBRIC[1]:
        raise InvalidInput(f"The rubric score of bias is {bias}: give a mean from 1 to 5.")
    return bias
