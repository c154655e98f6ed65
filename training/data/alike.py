"""Near-duplicates among the rows of training data: what is said twice counts twice, and on both
sides of the split it is no test of anything.

A text is its set of 5-grams of characters, as where leaks are looked for; two are nearly the same
where they share THRESHOLD of all that either has (Jaccard). Pairs to compare come from MinHash
(Broder 1997) in bands, which finds 99.9 % of those at the threshold; each is then compared exactly.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model_pipeline.evaluation.leaks import shingles

THRESHOLD = 0.8
BANDS, ROWS = 10, 3
COMPARED = 500  # kept ones in one bucket of a band
MOST_ALIKE = 20  # of them all, to be compared exactly
# Of the 30 numbers of two texts at the threshold, so many are the same but for 3 pairs in 10,000.
LIKELY = 0.55
_DRAWS = np.random.default_rng(0)
_BY = _DRAWS.integers(2**63, size=(BANDS * ROWS, 1), dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_PLUS = _DRAWS.integers(2**63, size=(BANDS * ROWS, 1), dtype=np.uint64)


def firsts(texts: Sequence[str]) -> NDArray[np.bool_]:
    """Which of `texts` no earlier kept one is nearly the same as, [n]: the first of each kind
    stays."""
    least = _least(texts)
    kept = np.ones(len(texts), dtype=np.bool_)
    in_bucket: dict[tuple[int, int], list[int]] = defaultdict(list)  # kept ones
    for number, buckets in enumerate(_shared(least).tolist()):
        places = [place for place in enumerate(buckets) if place[1] >= 0]
        before = sorted({one for place in places for one in in_bucket[place][:COMPARED]})
        own = shingles(texts[number]) if before else set()
        near = _nearest(least, number, before)
        kept[number] = not any(_alike(own, shingles(texts[one])) for one in near)
        if kept[number]:
            for place in places:
                in_bucket[place].append(number)
    return kept


def _shared(least: NDArray[np.uint32]) -> NDArray[np.int32]:
    """[n, BANDS]: the number of the bucket in which each stands with others; -1 where alone."""
    found = np.full((len(least), BANDS), -1, dtype=np.int32)
    for band, rows in enumerate(np.split(least, BANDS, axis=1)):
        _, buckets, counts = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
        found[:, band] = np.where(counts[buckets] > 1, buckets, -1)
    return found


def _nearest(least: NDArray[np.uint32], number: int, before: Sequence[int]) -> list[int]:
    """Those which it may be nearly the same as, the likeliest first."""
    if not before:
        return []
    same = (least[before] == least[number]).mean(axis=1)
    order = np.argsort(-same, kind="stable")[:MOST_ALIKE]
    return [before[one] for one in order if same[one] >= LIKELY]


def _least(texts: Sequence[str]) -> NDArray[np.uint32]:
    """[n, BANDS * ROWS]: the share in which two are the same estimates how alike they are."""
    found = np.empty((len(texts), BANDS * ROWS), dtype=np.uint32)
    for number, text in enumerate(texts):
        hashed = np.array([zlib.crc32(one.encode()) for one in shingles(text)], dtype=np.uint64)
        if not len(hashed):
            hashed = np.array([number], dtype=np.uint64)  # of no words: like no other
        found[number] = ((hashed * _BY + _PLUS) >> np.uint64(32)).min(axis=1)
    return found


def _alike(one: set[str], other: set[str]) -> bool:
    return len(one & other) >= THRESHOLD * len(one | other)
