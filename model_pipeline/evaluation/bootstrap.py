"""Intervals and tests by resampling examples: seeded, exact for corpus metrics.

Percentile bootstrap (Efron 1979; paired for machine translation: Koehn 2004) and approximate
randomisation (Noreen 1989; Riezler and Maxwell 2005). Two systems are compared over the same
examples, drawn together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_pipeline.evaluation.measured import Figures, Measured
from model_pipeline.evaluation.together import Exchanged, Together

DRAWS = 2_000
LEVEL = 0.95
BLOCK = 2_000_000  # numbers of one block of weights: 16 MB


@dataclass(frozen=True, slots=True)
class Interval:
    """The middle `LEVEL` of the resampled figures; NaN where there are none."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """B less A over the examples that both have scored. `p` is of the two-sided randomisation test
    that they are alike; `effect` is the mean difference of single examples in their standard
    deviations (Cohen's d for pairs), NaN where all differ by the same."""

    n: int
    difference: float
    interval: Interval
    p: float
    effect: float


def interval(measured: Measured, *, seed: int, draws: int = DRAWS) -> Interval:
    return intervals([measured], seed=seed, draws=draws)[0]


def intervals(measured: Sequence[Measured], *, seed: int, draws: int = DRAWS) -> list[Interval]:
    """Of several metrics over the same examples: those that scored the same ones share their draws,
    so that drawing, which costs most, is done once."""
    found: dict[int, Interval] = {}
    for group in _alike([one.scored for one in measured]):
        some = Together([measured[index] for index in group])
        drawn = [some.figures(w) for w in _resamples(measured[group[0]].scored, draws, seed)]
        for index, figures in zip(group, zip(*drawn, strict=True), strict=True):
            found[index] = _middle(np.concatenate(figures))
    return [found[index] for index in range(len(measured))]


def compare(a: Measured, b: Measured, *, seed: int, draws: int = DRAWS) -> Difference:
    """`a` and `b` are the same metric over the same examples in the same order."""
    return comparisons([(a, b)], seed=seed, draws=draws)[0]


def comparisons(
    pairs: Sequence[tuple[Measured, Measured]], *, seed: int, draws: int = DRAWS
) -> list[Difference]:
    """Of several metrics over the same examples, which share their draws."""
    for a, b in pairs:
        if a.signature != b.signature or len(a.scored) != len(b.scored):
            raise ValueError(f"{a.name}: {a.signature} is not comparable with {b.signature}")
    both = [a.scored & b.scored for a, b in pairs]
    masked = [(a.masked(of), b.masked(of)) for (a, b), of in zip(pairs, both, strict=True)]
    resampled: dict[int, list[Figures]] = {index: [] for index in range(len(pairs))}
    for group in _alike(both):
        first, second = (Together([masked[index][side] for index in group]) for side in (0, 1))
        for weights in _resamples(both[group[0]], draws, seed):
            here = zip(group, first.figures(weights), second.figures(weights), strict=True)
            for index, of_a, of_b in here:
                resampled[index].append(of_b - of_a)
    shuffled = _shuffled(masked, draws, seed)
    return [
        _difference(a, b, np.concatenate(resampled[index]), shuffled[index])
        for index, (a, b) in enumerate(masked)
    ]


def _difference(a: Measured, b: Measured, resampled: Figures, shuffled: Figures) -> Difference:
    both = a.scored & b.scored
    observed = b.figure(both) - a.figure(both)
    as_far = np.sum(np.abs(shuffled) >= abs(observed) - 1e-12)
    single = (b.each() - a.each())[both]
    single = single[np.isfinite(single)]  # one without citations has no share of correct ones
    spread = single.std(ddof=1) if len(single) > 1 else 0.0
    return Difference(
        n=int(both.sum()),
        difference=observed,
        interval=_middle(resampled),
        p=float((as_far + 1) / (len(shuffled) + 1)) if np.isfinite(observed) else float("nan"),
        effect=float(single.mean() / spread) if spread > 0 else float("nan"),
    )


def _shuffled(pairs: Sequence[tuple[Measured, Measured]], draws: int, seed: int) -> list[Figures]:
    """[draws] differences of each pair, where examples' two answers change sides by chance."""
    if not pairs:
        return []
    n = len(pairs[0][0].scored)
    together = Exchanged(pairs)
    drawn = [together.differences(swap) for swap in _swaps(n, draws, seed)]
    return [np.concatenate(one) for one in zip(*drawn, strict=True)]


def _alike(scored: Sequence[NDArray[np.bool_]]) -> list[list[int]]:
    """The places of equal masks, group by group."""
    groups: dict[bytes, list[int]] = {}
    for index, one in enumerate(scored):
        groups.setdefault(one.tobytes(), []).append(index)
    return list(groups.values())


def _middle(found: Figures) -> Interval:
    found = found[np.isfinite(found)]
    if not len(found):
        return Interval(float("nan"), float("nan"))
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def _resamples(chosen: NDArray[np.bool_], draws: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Blocks of [b, n]: how often each of the examples `chosen` [n] was drawn, with replacement."""
    random = np.random.default_rng(seed)
    places = np.flatnonzero(chosen)
    n = len(places)
    for size in _blocks(len(chosen), draws):
        weights = np.zeros((size, len(chosen)))
        if n:
            drawn = random.integers(n, size=(size, n))
            drawn += np.arange(0, size * n, n)[:, np.newaxis]  # each row by itself
            weights[:, places] = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
        yield weights


def _swaps(n: int, draws: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Blocks of [b, n]: 1 where an example's two answers change sides, half of the time."""
    random = np.random.default_rng(seed + 1)
    for size in _blocks(n, draws):
        yield random.integers(2, size=(size, n)).astype(np.float64)


def _blocks(n: int, draws: int) -> Iterator[int]:
    size = max(1, BLOCK // max(n, 1))
    for start in range(0, draws, size):
        yield min(size, draws - start)
