"""ROUGE-1, ROUGE-2 and ROUGE-L: precision, recall and F1 of shared words, pairs and order.

    precision = shared / in the answer, recall = shared / in the reference,
    F1 = 2 * precision * recall / (precision + recall)

where `shared` counts n-grams (each at most as often as in the other text), or for ROUGE-L the words
of the longest common subsequence of the whole texts (not line by line: that is rougeLsum). Each is
the mean over examples, 0 to 1; of several references the one with the best F1 counts, by each kind.
Source: Lin 2004. Equal to rouge-score 0.1.2 without its stemmer, for ASCII text with its own
tokeniser and for all text with ours (`tokens.words`).

Known to fail: precision rewards short answers ("a b" has 1 against "a b c d"), so read F1 and the
length ratio beside it; a denied sentence has the words of the sentence; other words for the same
have nothing; an answer of one word has no pairs, and 0 in ROUGE-2 even where it is the reference;
punctuation and symbols do not count, and a reference of these alone cannot be scored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from rouge_score.scoring import Score, fmeasure

from model_pipeline.evaluation.measured import Measured, ratio
from model_pipeline.evaluation.ngrams import count_ngrams, counted, ngrams, shared

NAMES = [
    f"rouge_{kind}_{part}" for kind in ("1", "2", "l") for part in ("precision", "recall", "f1")
]
WIDTH = len(NAMES)
SIGNATURE = "nrefs:best-f1|case:folded|tok:unicode-words-nfkc-cjk-characters|stem:no|version:1"


def statistics(answer: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """The values of `NAMES` for one answer, from words."""
    kinds = (
        [_by_ngrams(1, answer, reference) for reference in references],
        [_by_ngrams(2, answer, reference) for reference in references],
        [_by_order(answer, reference) for reference in references],
    )
    return [value for scores in kinds for value in max(scores, key=lambda one: one.fmeasure)]


def measured(
    values: NDArray[np.float64], scored: NDArray[np.bool_], failures: Mapping[int, str]
) -> list[Measured]:
    """One metric for each of `NAMES`, of examples with `values` [n, WIDTH]."""
    columns = zip(NAMES, values.T, strict=True)
    return [
        Measured(
            name=name,
            signature=f"{name}|{SIGNATURE}",
            statistics=np.stack([column, scored], axis=1),
            scored=scored,
            combine=ratio,
            best=1.0,
            worst=0.0,
            failures=failures,
        )
        for name, column in columns
    ]


def longest_common(a: Sequence[str], b: Sequence[str]) -> int:
    """How many words the longest common subsequence has. Bit-parallel: a row of the table is one
    int with a bit a word (Hyyrö 2004), so that a text takes a few operations a word."""
    short, long = sorted((a, b), key=len)
    places: dict[str, int] = {}
    bit = 1
    for word in short:
        places[word] = places.get(word, 0) | bit
        bit <<= 1
    full = row = bit - 1
    for word in long:
        if here := places.get(word):
            met = row & here
            row = ((row + met) | (row - met)) & full
    return len(short) - row.bit_count()


def _by_ngrams(n: int, answer: Sequence[str], reference: Sequence[str]) -> Score:
    found = shared(ngrams(answer, n), counted(ngrams(reference, n)))
    return _score(found, count_ngrams(answer, n), count_ngrams(reference, n))


def _by_order(answer: Sequence[str], reference: Sequence[str]) -> Score:
    return _score(longest_common(answer, reference), len(answer), len(reference))


def _score(found: int, in_answer: int, in_reference: int) -> Score:
    precision, recall = found / max(in_answer, 1), found / max(in_reference, 1)
    return Score(precision, recall, fmeasure(precision, recall))
