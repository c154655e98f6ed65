"""BLEU-1 to BLEU-4: how many of an answer's runs of words stand in a reference.

    BLEU-n = BP * exp(mean over i = 1..n of log(clipped matches of i-grams / i-grams))
    BP     = min(1, exp(1 - reference length / answer length))

Cumulative over the orders up to n, from the summed counts of all answers (not the mean of answers),
unsmoothed, 0 to 1. An i-gram matches as often as it stands in the reference that has it most often;
the brevity penalty goes by the reference of the closest length, the shorter of two. Source:
Papineni et al. 2002.

Equal to sacrebleu's BLEU(max_ngram_order=n, smooth_method="none", effective_order=True), which is
its default wherever some n-gram matches, and to nltk's `corpus_bleu` where each answer has n words:
nltk counts an n-gram that is not there for every answer that is shorter.

Known to fail: it sees words, not meaning, so a paraphrase scores low and a wrong number high; one
answer that shares no n-gram with its reference has 0 by itself. Orders for which no answer is long
enough are left out ("effective order"): by itself an exact answer of two words has 1 in BLEU-4,
where it would have 0. A phrase of Chinese or Japanese is one token (ROUGE splits them).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from model_pipeline.evaluation.measured import Figures, Measured
from model_pipeline.evaluation.ngrams import closest_length, count_ngrams, counted, ngrams, shared

ORDERS = range(1, 5)
WIDTH = 2 + 2 * len(ORDERS)
SIGNATURE = "nrefs:any|case:mixed|eff:yes|tok:13a|smooth:none|level:corpus|scale:1|version:1"


def statistics(answer: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """The `WIDTH` counts of one answer that add up, from tokens: its length, the closest
    reference's, and for each order how many n-grams match and how many there are."""
    length = len(answer)
    matches = [0] * len(ORDERS)
    for place, n in enumerate(ORDERS):
        matches[place] = shared(ngrams(answer, n), _most(references, n))
        if not matches[place]:
            break  # nor do longer ones match
    totals = [count_ngrams(answer, n) for n in ORDERS]
    return [length, closest_length(length, references), *matches, *totals]


def measured(
    counts: NDArray[np.float64], scored: NDArray[np.bool_], failures: Mapping[int, str]
) -> list[Measured]:
    """BLEU-1 to BLEU-4 of examples with `counts` [n, WIDTH]."""
    return [
        Measured(
            name=f"bleu_{n}",
            signature=f"BLEU-{n}|{SIGNATURE}",
            statistics=counts,
            scored=scored,
            combine=partial(_combine, n),
            best=1.0,
            worst=0.0,
            failures=failures,
        )
        for n in ORDERS
    ]


def _most(references: Sequence[Sequence[str]], n: int) -> dict[Hashable, int]:
    """Each n-gram's count in the reference that has it most often."""
    most = counted(ngrams(references[0], n))
    for reference in references[1:]:
        for gram, count in counted(ngrams(reference, n)).items():
            most[gram] = max(count, most.get(gram, 0))
    return most


def _combine(order: int, sums: NDArray[np.float64]) -> Figures:
    """[b, WIDTH] to BLEU of `order` [b]; NaN without a reference, 0 for answers without a word."""
    length, closest = sums[:, 0], sums[:, 1]
    matches, totals = sums[:, 2 : 2 + order], sums[:, 2 + len(ORDERS) : 2 + len(ORDERS) + order]
    logs = np.where(totals > 0, np.log(matches / totals), 0.0)
    orders = np.count_nonzero(totals > 0, axis=1)
    found = _brevity(closest, length) * np.exp(logs.sum(axis=1) / np.maximum(orders, 1))
    return np.where(closest > 0, np.where(orders > 0, found, 0.0), np.nan)


def _brevity(closest: Figures, length: Figures) -> Figures:
    from nltk.translate.bleu_score import brevity_penalty  # a second: only where figures are made

    return np.array([brevity_penalty(r, a) for r, a in zip(closest, length, strict=True)])
