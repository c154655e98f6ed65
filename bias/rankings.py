"""How far two rankings are apart: 0 alike, 1 with nothing in common. Rankings hold each id once,
best first."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

P = 0.9
"""Persistence: the first ten places carry 86 % of the weight (Webber et al. 2010)."""
K = 10


def rbo_distance(a: Sequence[str], b: Sequence[str], p: float = P) -> float:
    """1 - rank-biased overlap, extrapolated from what both lists show (Webber, Moffat and Zobel
    2010, equation 32, which holds for lists of unequal length too)."""
    short, long = sorted((list(a), list(b)), key=len)
    if not short:
        return 0.0 if not long else 1.0
    few, many = len(short), len(long)
    overlap = [0] * (many + 1)
    for depth in range(1, many + 1):
        overlap[depth] = len(set(short[:depth]) & set(long[:depth]))
    agreed = sum(overlap[d] / d * p**d for d in range(1, many + 1))
    uneven = sum(overlap[few] * (d - few) / (d * few) * p**d for d in range(few + 1, many + 1))
    rest = ((overlap[many] - overlap[few]) / many + overlap[few] / few) * p**many
    return 1.0 - ((1 - p) / p * (agreed + uneven) + rest)


def jaccard_distance(a: Sequence[str], b: Sequence[str], k: int = K) -> float:
    """1 - the share of what either shows among the first k that both show."""
    first, second = set(a[:k]), set(b[:k])
    return 1.0 - len(first & second) / len(first | second) if first | second else 0.0


def ndcg_distance(a: Sequence[str], b: Sequence[str], k: int = K) -> float:
    """1 - nDCG@k of `b` where `a` is the right order: its n-th of k is graded k + 1 - n."""
    grades = {one: k - place for place, one in enumerate(a[:k])}
    best = _gain(sorted(grades.values(), reverse=True))
    if not best:
        return 0.0 if not b else 1.0
    return 1.0 - _gain([grades.get(one, 0) for one in b[:k]]) / best


def _gain(grades: Sequence[int]) -> float:
    return sum(grade / math.log2(place + 1) for place, grade in enumerate(grades, 1))


DISTANCES: Mapping[str, Callable[[Sequence[str], Sequence[str]], float]] = {
    "ranking_rbo": rbo_distance,
    "ranking_jaccard": jaccard_distance,
    "ranking_ndcg": ndcg_distance,
}
