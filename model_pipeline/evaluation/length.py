"""Length ratio: words of the answers over words of their references.

    length ratio = sum of the answers' words / sum of the references' words

0 and up; 1 is right, and of two releases the one that is nearer to it is better: they are compared
by |length ratio - 1|. Of several references the one of the closest length counts, the shorter of
two; words are those of ROUGE. Known to fail: it says nothing of what the words are, and above 1
more is not better: it is to be read beside precision, which short answers win, and recall, which
long ones do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from model_pipeline.evaluation.measured import Figures, Measured, ratio
from model_pipeline.evaluation.ngrams import closest_length

WIDTH = 2
SIGNATURE = "length_ratio|nrefs:closest|tok:unicode-words-nfkc-cjk-characters|version:1"


def statistics(answer: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """Words of one answer and of the closest reference."""
    return [len(answer), closest_length(len(answer), references)]


def measured(
    lengths: NDArray[np.float64], scored: NDArray[np.bool_], failures: Mapping[int, str]
) -> list[Measured]:
    return [Measured("length_ratio", SIGNATURE, lengths, scored, ratio, 1.0, 0.0, failures)]


def distance(measured: Measured) -> Measured:
    """Of a length ratio, how far it is from 1: 0 and up, best 0."""
    return replace(
        measured,
        name="length_distance",
        signature=f"{measured.signature}|distance-from-1",
        combine=_distance,
        best=0.0,
        worst=float("inf"),
    )


def _distance(sums: NDArray[np.float64]) -> Figures:
    return np.abs(ratio(sums) - 1)
