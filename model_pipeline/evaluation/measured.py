"""What a metric finds: statistics per example that add up, and how the sums become its figure.

All of a test set, a slice, a bootstrap resample and one example are then the same thing: weights
over the examples. A mean adds (value, 1), BLEU its counts of n-grams, perplexity (nats, tokens), so
that a resample of a corpus metric is exact, and a thousand of them are one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from model_pipeline.evaluation.examples import Pair

Figures = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One metric over n examples.

    `signature` names everything that decides the figure: version, tokeniser, smoothing, model.
    `statistics` is [n, s]; rows that `scored` [n] leaves out are zero. `combine` turns sums
    [b, s] into figures [b], NaN where there is nothing to divide by. `failures` maps the index of
    an example to why it could not be scored, by name; what is neither scored nor a failure is not
    meant for this metric (no reference is given for a question without an answer).
    """

    name: str
    signature: str
    statistics: NDArray[np.float64]
    scored: NDArray[np.bool_]
    combine: Callable[[NDArray[np.float64]], Figures]
    best: float
    worst: float
    failures: Mapping[int, str] = field(default_factory=dict)
    adds_up: ClassVar[bool] = True
    """Whether sums of `statistics` are all that a figure is made of."""

    @property
    def higher_is_better(self) -> bool:
        return self.best > self.worst

    def figures(self, weights: NDArray[np.float64]) -> Figures:
        """[b] figures under weights [b, n]: how often each example counts."""
        return self.combined(weights @ self.statistics)

    def combined(self, sums: NDArray[np.float64]) -> Figures:
        """[b, s] sums to figures [b]."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.combine(sums)

    def figure(self, chosen: NDArray[np.bool_] | None = None) -> float:
        """Over all examples, or over those `chosen` [n]; NaN where none of them was scored."""
        weights = np.ones(len(self.scored)) if chosen is None else chosen.astype(np.float64)
        return float(self.figures(weights[None, :])[0])

    def each(self) -> Figures:
        """[n], every example by itself; NaN where it was not scored."""
        return np.where(self.scored, self.combined(self.statistics), np.nan)

    def only(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> Self:
        """The examples that a mask [n] or their places choose, in that order, and no others."""
        places = np.arange(len(self.scored))[chosen]
        at = {int(old): new for new, old in enumerate(places)}
        return replace(
            self,
            statistics=self.statistics[places],
            scored=self.scored[places],
            failures={at[old]: why for old, why in self.failures.items() if old in at},
        )

    def masked(self, chosen: NDArray[np.bool_]) -> Self:
        """As if only `chosen` [n] of the examples had been scored."""
        statistics = np.where(chosen[:, None], self.statistics, 0.0)
        return replace(self, statistics=statistics, scored=self.scored & chosen)

    def exchanged(self, other: Self, swap: NDArray[np.float64]) -> tuple[Figures, Figures]:
        """[b] figures of this and of `other`, the same metric, where the examples marked by 1 in
        `swap` [b, n] have changed sides. Both have scored the same examples."""
        moved = swap @ (other.statistics - self.statistics)
        mine, theirs = self.statistics.sum(axis=0), other.statistics.sum(axis=0)
        return self.combined(mine + moved), self.combined(theirs - moved)


Metric = Callable[[Sequence[Pair]], Sequence[Measured]]
"""Pairs to what is measured over them, in their order; one pass may yield several figures."""


def ratio(sums: NDArray[np.float64]) -> Figures:
    """[b, 2] to [b]: the first over the second."""
    return np.asarray(sums[:, 0] / sums[:, 1])


def mean(
    name: str,
    signature: str,
    values: Sequence[float | None],
    *,
    best: float = 1.0,
    worst: float = 0.0,
    failures: Mapping[int, str] | None = None,
) -> Measured:
    """The mean of one value an example; None leaves the example out. Anything that is not finite is
    a failure of its own."""
    failed = dict(failures or {})
    statistics = np.zeros((len(values), 2))
    for index, value in enumerate(values):
        if value is None or index in failed:
            continue
        if not np.isfinite(value):
            failed[index] = "not a finite number"
            continue
        statistics[index] = value, 1
    scored = statistics[:, 1] > 0
    return Measured(name, signature, statistics, scored, ratio, best, worst, failed)


def shares(
    name: str,
    signature: str,
    parts: Sequence[tuple[float, float] | None],
    failures: Mapping[int, str] | None = None,
) -> Measured:
    """How much of what there is, over all examples together: each adds (part, whole), and (0, 0)
    where it has nothing of the kind, such as an answer without citations; None leaves it out."""
    statistics = np.array([part or (0.0, 0.0) for part in parts]).reshape(len(parts), 2)
    scored = np.array([part is not None for part in parts], dtype=bool)
    return Measured(name, signature, statistics, scored, ratio, 1.0, 0.0, dict(failures or {}))
