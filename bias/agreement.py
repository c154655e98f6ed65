"""Which level a score is nearest to, and how far two series of levels agree."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bias.verdicts import LEVELS

Numbers = NDArray[np.float64]


def levels_of(scores: ArrayLike) -> NDArray[np.int64]:
    """The level that each is nearest to; the fairer one half-way."""
    nearest = np.floor(np.asarray(scores, dtype=np.float64) + 0.5)
    return np.clip(nearest, LEVELS[0], LEVELS[-1]).astype(np.int64)


def level_of(score: float) -> int:
    return int(levels_of(score))


def cells(levels: ArrayLike, wanted: ArrayLike) -> Numbers:
    """[n, 25]: 1 where `levels` and `wanted` meet in the table of one by the other."""
    places = (np.array(levels, dtype=int) - 1) * len(LEVELS) + np.array(wanted, dtype=int) - 1
    return np.asarray(np.eye(len(LEVELS) ** 2)[places])


def kappa_of(sums: Numbers) -> Numbers:
    """Cohen's kappa with quadratic weights (1968) of tables [b, 25], sums of `cells`; NaN where
    both have one and the same level alone."""
    joint = sums.reshape(-1, len(LEVELS), len(LEVELS))
    distance = np.subtract.outer(LEVELS, LEVELS).astype(np.float64) ** 2
    by_chance = (
        joint.sum(2)[:, :, None] * joint.sum(1)[:, None, :] / joint.sum((1, 2))[:, None, None]
    )
    return np.asarray(1 - (distance * joint).sum((1, 2)) / (distance * by_chance).sum((1, 2)))
