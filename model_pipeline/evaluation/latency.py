"""How long answers take: the median and the 95th percentile, in milliseconds.

The smallest measured time that at least half (95 %) of the answers stay within (nearest rank;
numpy's `inverted_cdf`): a time that really occurred, also of few. Range 0 to infinity, best 0.

Known limits: under a hundred answers the 95th percentile is one of the slowest five; times of
another machine, or of a loaded one, are not comparable; an answer that failed has no time here,
since failing fast is no merit, and is counted among what could not be scored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from model_pipeline.evaluation.examples import Pair, Prediction
from model_pipeline.evaluation.measured import Figures, Measured

NOT_MEASURED = "nobody measured how long it took"
NOT_A_TIME = "its latency is not a time"
NO_ANSWER = "there is no answer to time"
ROUNDING = 1e-9
QUANTILES = {"latency_p50_ms": 0.5, "latency_p95_ms": 0.95}


@dataclass(frozen=True, slots=True, eq=False)
class Quantile(Measured):
    """The time that the share `q` of the weight stays within. Times do not add up: `statistics`
    [n, 1] are the times themselves, and `combine` is right for single examples alone."""

    q: float = 0.5
    adds_up: ClassVar[bool] = False

    def figures(self, weights: NDArray[np.float64]) -> Figures:
        return self._within(self.statistics[:, 0], weights * self.scored)

    def exchanged(self, other: Self, swap: NDArray[np.float64]) -> tuple[Figures, Figures]:
        times = np.concatenate([self.statistics[:, 0], other.statistics[:, 0]])
        gone, stayed = swap * self.scored, (1 - swap) * self.scored
        mine, theirs = np.hstack([stayed, gone]), np.hstack([gone, stayed])
        return self._within(times, mine), self._within(times, theirs)

    def _within(self, times: Figures, counted: NDArray[np.float64]) -> Figures:
        """Of `times` [n] that count as often as `counted` [b, n] says."""
        order = np.argsort(times, kind="stable")
        reached = np.cumsum(counted[:, order], axis=1)  # [b, n]
        total = reached[:, -1:]
        # Sums of weights that are not whole may end a hair below what they stand for.
        first = np.argmax(reached >= self.q * total * (1 - ROUNDING), axis=1)
        return np.where(total[:, 0] > 0, times[order][first], np.nan)


def latency(pairs: Sequence[Pair]) -> list[Measured]:
    reasons = [_unscored(pair.prediction) for pair in pairs]
    times = np.array(
        [
            [0.0 if why else float(pair.prediction.latency_ms or 0)]
            for pair, why in zip(pairs, reasons, strict=True)
        ]
    ).reshape(len(pairs), 1)
    scored = np.array([why is None for why in reasons], dtype=bool)
    failures = {index: why for index, why in enumerate(reasons) if why}
    return [
        Quantile(name, f"{name}|nearest rank|v1", times, scored, alone, 0.0, math.inf, failures, q)
        for name, q in QUANTILES.items()
    ]


def alone(times: NDArray[np.float64]) -> Figures:
    """Any quantile of one answer's time is that time."""
    return times[:, 0]


def _unscored(prediction: Prediction) -> str | None:
    if prediction.error is not None:
        return NO_ANSWER
    if prediction.latency_ms is None:
        return NOT_MEASURED
    if not (math.isfinite(prediction.latency_ms) and prediction.latency_ms >= 0):
        return NOT_A_TIME
    return None
