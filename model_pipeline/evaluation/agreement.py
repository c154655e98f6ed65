"""How well a score agrees with ratings: Spearman's rho, Kendall's tau-b and the area under the ROC
curve, with bootstrap intervals of each and of the difference between two scores.

All three are sums over pairs of rows of the sign of their difference, so that a resample is a
matrix product, exact, ties included: a row's rank among weighted rows is the sum of its signs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from model_pipeline.errors import InvalidInput

Numbers = NDArray[np.float64]
DRAWS = 1_000
LEVEL = 0.95
MIN_ROWS, MAX_ROWS = 10, 5_000


@dataclass(frozen=True, slots=True)
class Agreed:
    """A figure and the middle `LEVEL` of its resamples."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of one score with the ratings; NaN where a side is the same for all rows. `length` is its
    Spearman's rho with the answer's length: what a score has of that alone says nothing."""

    spearman: Agreed
    kendall: Agreed
    auc: Agreed
    length: Agreed


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """One score's agreement with the ratings over all rows and then over each resample, [1 + DRAWS]
    each."""

    spearman: Numbers
    kendall: Numbers
    auc: Numbers
    length: Numbers

    def agreement(self) -> Agreement:
        return Agreement(*map(_agreed, (self.spearman, self.kendall, self.auc, self.length)))

    def less(self, other: Drawn) -> Agreement:
        """How much more it agrees than `other`, over the same resamples."""
        return Drawn(
            self.spearman - other.spearman,
            self.kendall - other.kendall,
            self.auc - other.auc,
            self.length - other.length,
        ).agreement()


def drawn(
    scores: Mapping[str, ArrayLike],
    ratings: ArrayLike,
    lengths: ArrayLike,
    *,
    good: float,
    seed: int,
) -> dict[str, Drawn]:
    """Each of `scores` [n] with `ratings` [n]; a rating of `good` or more is a good one, for the
    area under the curve. Raises InvalidInput for too few rows, or too many."""
    rated = np.asarray(ratings, dtype=np.float64)
    if not MIN_ROWS <= len(rated) <= MAX_ROWS:
        raise InvalidInput(
            f"There are {len(rated)} rated answers: give {MIN_ROWS} to {MAX_ROWS:,} of them."
        )
    weights = _weights(len(rated), seed)
    signs, by_length = _signs(rated), _signs(np.asarray(lengths, dtype=np.float64))
    is_good = rated >= good
    found = {}
    for name, score in scores.items():
        own = _signs(np.asarray(score, dtype=np.float64))
        found[name] = Drawn(
            _spearman(own, signs, weights),
            _kendall(own, signs, weights),
            _auc(own, is_good, weights),
            _spearman(own, by_length, weights),
        )
    return found


def _weights(n: int, seed: int) -> NDArray[np.float32]:
    """[1 + DRAWS, n], how often each row counts: all of them once, then the resamples."""
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=DRAWS)
    return np.concatenate([np.ones((1, n)), drawn]).astype(np.float32)


def _signs(values: Numbers) -> NDArray[np.float32]:
    """[n, n], of each less each."""
    return np.sign(values[:, None] - values[None, :]).astype(np.float32)


def _spearman(
    a: NDArray[np.float32], b: NDArray[np.float32], weights: NDArray[np.float32]
) -> Numbers:
    # Twice each row's rank among the weighted rows, less their mean.
    x, y = ((weights @ one.T).astype(np.float64) for one in (a, b))
    return _over((weights * x * y).sum(1), (weights * x * x).sum(1), (weights * y * y).sum(1))


def _kendall(
    a: NDArray[np.float32], b: NDArray[np.float32], weights: NDArray[np.float32]
) -> Numbers:
    def pairs(signs: NDArray[np.float32]) -> Numbers:
        return np.asarray(((weights @ signs).astype(np.float64) * weights).sum(1))

    return _over(pairs(a * b), pairs(a * a), pairs(b * b))


def _auc(
    signs: NDArray[np.float32], good: NDArray[np.bool_], weights: NDArray[np.float32]
) -> Numbers:
    goods, bads = weights * good, weights * ~good
    above = ((goods @ signs).astype(np.float64) * bads).sum(1)
    with np.errstate(invalid="ignore"):
        return np.asarray((1 + above / (goods.sum(1) * bads.sum(1))) / 2)


def _over(joint: Numbers, a: Numbers, b: Numbers) -> Numbers:
    with np.errstate(invalid="ignore"):
        return np.asarray(joint / np.sqrt(a * b))


def _agreed(draws: Numbers) -> Agreed:
    finite = draws[1:][np.isfinite(draws[1:])]
    edges = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    low, high = np.quantile(finite, edges) if len(finite) else (float("nan"),) * 2
    return Agreed(float(draws[0]), float(low), float(high))
