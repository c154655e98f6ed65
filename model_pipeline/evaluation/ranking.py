"""How well passages are ranked: nDCG@10, recall@10 and the reciprocal rank of the first hit.

As trec_eval has them (ndcg_cut, recall, recip_rank): nDCG's gain is the grade itself, discounted by
log2(rank + 1) and held against the best order of all graded sources (Järvelin and Kekäläinen 2002);
recall counts sources of grade 1 and more among the first ten; the reciprocal rank is 0 where none
of them is relevant. Each is 0 to 1, best 1, and the mean over the examples.

What is ranked are sources: of several passages of one source the best counts, so that nothing is
found twice. Known limits: a relevant source that nobody graded counts as irrelevant; recall cannot
reach 1 where more than ten sources are relevant. An example without a relevant source has no
ranking to judge and is left out; one without any grades is a failure of the test set's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from model_pipeline.evaluation.examples import Pair
from model_pipeline.evaluation.measured import Measured, mean

K = 10
NOT_GRADED = "nobody has said which sources are relevant"
SIGNATURE = f"trec_eval|k={K}|of=sources|v1"


def ndcg(ranked: Sequence[str], relevant: Mapping[str, int], k: int = K) -> float:
    """`ranked` sources, best first, against grades, one of which is 1 or more."""
    found = _gain([relevant.get(source, 0) for source in _distinct(ranked)[:k]])
    return found / _gain(sorted(relevant.values(), reverse=True)[:k])


def recall(ranked: Sequence[str], relevant: Mapping[str, int], k: int = K) -> float:
    wanted = _wanted(relevant)
    return len(wanted & set(_distinct(ranked)[:k])) / len(wanted)


def reciprocal_rank(ranked: Sequence[str], relevant: Mapping[str, int], k: int = K) -> float:
    wanted = _wanted(relevant)
    hits = (n for n, source in enumerate(_distinct(ranked)[:k], 1) if source in wanted)
    return 1 / next(hits, math.inf)


FORMULAS: Mapping[str, Callable[[Sequence[str], Mapping[str, int]], float]] = {
    f"ndcg_{K}": ndcg,
    f"recall_{K}": recall,
    f"mrr_{K}": reciprocal_rank,
}


def ranking(pairs: Sequence[Pair]) -> list[Measured]:
    """Of the predictions' passages; a release that failed found nothing and gets 0."""
    failures = {
        index: NOT_GRADED
        for index, pair in enumerate(pairs)
        if pair.example.relevant is None and pair.example.answerable is not False
    }
    return [
        mean(
            name,
            f"{name}|{SIGNATURE}",
            [_value(formula, pair) for pair in pairs],
            failures=failures,
        )
        for name, formula in FORMULAS.items()
    ]


def _value(
    formula: Callable[[Sequence[str], Mapping[str, int]], float], pair: Pair
) -> float | None:
    relevant = pair.example.relevant or {}
    if not _wanted(relevant):
        return None
    return formula([passage.source for passage in pair.prediction.passages], relevant)


def _gain(grades: Sequence[int]) -> float:
    return sum(max(grade, 0) / math.log2(rank + 1) for rank, grade in enumerate(grades, 1))


def _wanted(relevant: Mapping[str, int]) -> set[str]:
    return {source for source, grade in relevant.items() if grade > 0}


def _distinct(ranked: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(ranked))
