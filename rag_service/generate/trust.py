"""Which passages are to be cited, and whether any answers at all.

Both are small fitted functions. `python -m benchmarks.answers --fit` fits them on one half of two
collections and prints what stands below; without --fit it measures them on the other half.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model_pipeline.domain import Passage

# Of the columns of `found` and of `evidence`, and last the constant.
FOUND_WEIGHTS = (1.4, 6.5, 4.7, -3.6)
WEIGHTS = (1.1, 3.4, 1.9, 4.1, 1.7, -1.4)
# A passage of this trust may be cited beside the best one.
TRUSTED = 0.6
# Support below this is no support.
SUPPORT = 0.423
COVERAGE_SHARE = 0.15

Floats = NDArray[np.floating]


def found(passages: Sequence[Passage]) -> Floats:
    """What the search says for each passage, [len(passages), 3]: its rank, and how far its vector
    and its words are behind the best passage's."""
    dense = np.array([passage.dense_score or 0.0 for passage in passages])
    lexical = np.array([passage.lexical_score or 0.0 for passage in passages])
    ranks = 1 / np.arange(1, len(passages) + 1)
    return np.column_stack([ranks, dense - dense.max(), lexical / max(lexical.max(), 1e-9)])


def evidence(
    passages: Sequence[Passage], of: NDArray[np.intp], nearness: Floats, coverage: Floats
) -> Floats:
    """The same, and what the sentences say, [len(passages), 5]: how near its best one is, against
    the best of all; how much of the question its fullest one holds.

    `of`, `nearness` and `coverage` are of sentences, [n]: the index of each one's passage, its
    cosine with the question or its passage's, its share of the question's words.
    """
    nearest, fullest = np.zeros(len(passages)), np.zeros(len(passages))
    np.maximum.at(nearest, of, nearness)
    np.maximum.at(fullest, of, coverage)
    return np.column_stack([found(passages), nearest - nearest.max(), fullest])


def trust(features: Floats) -> Floats:
    """The probability that each passage answers the question, [n], from `found` or `evidence`."""
    *weights, constant = FOUND_WEIGHTS if features.shape[1] < len(WEIGHTS) - 1 else WEIGHTS
    return np.asarray(1 / (1 + np.exp(-(features @ np.array(weights) + constant))))


def support(passages: Sequence[Passage], nearness: Floats, coverage: Floats) -> float:
    """How far anything answers: how near the nearest passage is, which also knows what a follow-up
    leans on, and how much of the question a sentence holds. Where the search compared no vectors,
    how near the nearest sentence is."""
    dense = [passage.dense_score for passage in passages if passage.dense_score is not None]
    nearest = max(dense) if dense else float(nearness.max())
    return (1 - COVERAGE_SHARE) * nearest + COVERAGE_SHARE * float(coverage.max())
