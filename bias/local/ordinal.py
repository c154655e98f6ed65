"""From one number to the probabilities of five levels: a cumulative ordinal model (McCullagh 1980),
each of its four curves then bent to what was observed by isotonic regression.

P(level > k) is first a logistic function of the number, with one slope for all k, and then a line
through the blocks of pool-adjacent-violators over the calibration texts. The number rises with the
level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bias.agreement import cells, kappa_of, levels_of
from bias.verdicts import LEVELS

Numbers = NDArray[np.float64]
ABOVE = np.array(LEVELS[:-1])
KNOTS = 41
STEPS = 50
# Of how many texts a block is worth: it keeps a block of few from saying never or always.
PRIOR = 30.0
EXPONENTS = (1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 2.4, 2.6, 2.8, 3.0)
NEARLY = 0.005  # of kappa
RISK = 0.05  # of the verdicts that it is sure of, so many may be off by more than one level


@dataclass(frozen=True, slots=True, eq=False)
class Ordinal:
    """`above` [4, knots] is P(level > 1 .. 4) at each of `knots`, straight between them."""

    knots: Numbers
    above: Numbers

    def probabilities(self, numbers: ArrayLike) -> Numbers:
        """[n, 5], of LEVELS."""
        x = np.asarray(numbers, dtype=np.float64)
        above = np.stack([np.interp(x, self.knots, curve) for curve in self.above], axis=1)
        edges = np.concatenate([np.ones((len(x), 1)), above, np.zeros((len(x), 1))], axis=1)
        return np.asarray(edges[:, :-1] - edges[:, 1:])


def fit(numbers: ArrayLike, levels: ArrayLike) -> Ordinal:
    """`levels` are 1 to 5, of texts that the number was not fitted on."""
    x, y = np.asarray(numbers, dtype=np.float64), np.asarray(levels)
    slope, cuts = cumulative(x, y)
    knots = np.linspace(x.min(), x.max(), KNOTS)
    above = []
    for k, cut in zip(ABOVE, cuts, strict=True):
        expected = _logistic(slope * x - cut)
        above.append(_observed(x, (y > k).astype(np.float64), expected, knots))
    # A text above 2 is above 1: the four were bent apart, but must not cross.
    return Ordinal(knots, np.minimum.accumulate(np.array(above), axis=0))


def sharpened(probabilities: Numbers, exponent: float) -> Numbers:
    """[n, 5]: each to the power of `exponent`, which is 1 or more, and to a sum of 1 again."""
    raised = probabilities**exponent
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def most_agreeing(probabilities: Numbers, levels: NDArray[np.int64]) -> float:
    """The least exponent of EXPONENTS whose rounded means agree with `levels` as any other's do, or
    NEARLY so: sharper probabilities are less right. The mean of what is foretold spreads less than
    what people say, and so falls on the middle levels too often."""
    guessed = [
        levels_of(sharpened(probabilities, exponent) @ np.array(LEVELS)) for exponent in EXPONENTS
    ]
    tables = np.array([cells(levels, one).sum(0) for one in guessed])
    found = kappa_of(tables)
    return EXPONENTS[int(np.argmax(found >= found.max() - NEARLY))]


def near(probabilities: Numbers) -> Numbers:
    """[n], of being off by one level at most, with the level that the mean is nearest to."""
    guessed = levels_of(probabilities @ np.array(LEVELS))
    pairs = zip(probabilities, guessed, strict=True)
    return np.array([row[max(level - 2, 0) : level + 1].sum() for row, level in pairs])


def least_sure(probabilities: Numbers, levels: NDArray[np.int64]) -> tuple[float, float]:
    """The least of `near` at which the judge is sure, so that at most RISK of what it is sure of is
    off by more than one level; and the share of texts that it is sure of."""
    guessed = levels_of(probabilities @ np.array(LEVELS))
    chance = near(probabilities)
    order = np.argsort(-chance, kind="stable")
    wrong = np.cumsum(np.abs(guessed - levels)[order] > 1) / np.arange(1, len(order) + 1)
    last_of_its_kind = np.append(np.diff(chance[order]) < 0, True)
    within = np.flatnonzero((wrong <= RISK) & last_of_its_kind)
    if not len(within):
        return 1.0, 0.0
    last = int(within[-1])
    return float(chance[order[last]]), (last + 1) / len(order)


def spread(numbers: ArrayLike) -> float:
    """The standard deviation, as the median of distances from the median says it: a few odd numbers
    do not move it."""
    x = np.asarray(numbers, dtype=np.float64)
    return float(1.4826 * np.median(np.abs(x - np.median(x))))


def cumulative(numbers: ArrayLike, levels: ArrayLike) -> tuple[float, Numbers]:
    """The slope and the four cuts of P(level > k) = logistic(slope * number - cut[k]), by Newton's
    method on the four logistic regressions with their slope in common."""
    x, y = np.asarray(numbers, dtype=np.float64), np.asarray(levels)
    design = np.zeros((4 * len(x), 5))
    design[:, 0] = np.tile(x, 4)
    for k in range(4):
        design[k * len(x) : (k + 1) * len(x), 1 + k] = -1.0
    target = np.concatenate([y > k for k in ABOVE]).astype(np.float64)
    found = np.zeros(5)
    for _ in range(STEPS):
        p = _logistic(design @ found)
        # A ridge of 1e-3 a parameter: levels that the number parts wholly would have no optimum.
        slope = design.T @ (target - p) - 1e-3 * found
        curve = (design * (p * (1 - p))[:, None]).T @ design + 1e-3 * np.eye(5)
        step = np.linalg.solve(curve, slope)
        found += step
        if np.abs(step).max() < 1e-9:
            break
    return float(found[0]), found[1:]


def isotonic(values: ArrayLike, weights: ArrayLike) -> Numbers:
    """The rising sequence nearest to `values` in weighted squares: neighbours that fall are one."""
    means: list[float] = []
    sizes: list[float] = []
    counts: list[int] = []
    for value, weight in zip(np.asarray(values), np.asarray(weights), strict=True):
        means.append(float(value))
        sizes.append(float(weight))
        counts.append(1)
        while len(means) > 1 and means[-2] >= means[-1]:
            total = sizes[-2] + sizes[-1]
            means[-2:] = [(means[-2] * sizes[-2] + means[-1] * sizes[-1]) / total]
            sizes[-2:] = [total]
            counts[-2:] = [counts[-2] + counts[-1]]
    return np.repeat(means, counts)


def _observed(x: Numbers, hit: Numbers, expected: Numbers, knots: Numbers) -> Numbers:
    """The rising curve through `hit` at `knots`; a block is drawn to what the model expects of it
    by PRIOR texts, and stands at the middle of its texts, so that the curve has no steps."""
    order = np.argsort(x, kind="stable")
    x, hit, expected = x[order], hit[order], expected[order]
    fitted = isotonic(hit, np.ones(len(hit)))
    blocks = np.flatnonzero(np.diff(fitted, prepend=-1.0))
    sizes = np.diff(np.append(blocks, len(fitted)))
    middles = np.add.reduceat(x, blocks) / sizes
    means = np.add.reduceat(hit, blocks) + PRIOR * np.add.reduceat(expected, blocks) / sizes
    rising = isotonic(means / (sizes + PRIOR), sizes)
    return np.asarray(np.interp(knots, middles, rising))


def _logistic(x: Numbers) -> Numbers:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -40, 40))))
