"""A and B part by part: a release that is better on the whole may be worse on a topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from model_pipeline.errors import InvalidInput
from model_pipeline.evaluation.bootstrap import comparisons
from model_pipeline.evaluation.compared import Compared, Pair, compared, decided
from model_pipeline.evaluation.scorecard import SMALL, Row
from model_pipeline.evaluation.slices import slices

ALL = "all"
# The first few that both have: each more makes every other harder to show.
MEASURES = (
    "weighted_score bias faithfulness relevance coverage rouge_l_f1 ndcg_10 reliability"
).split()
MOST = 5


@dataclass(frozen=True, slots=True)
class ComparedSlice:
    """The `n` examples whose `by` is `value`. p is adjusted over all metrics of all slices that
    were asked for together."""

    by: str
    value: str
    n: int
    metrics: tuple[Compared, ...]

    @property
    def small(self) -> bool:
        return self.n < SMALL


def compared_slices(
    pairs: Mapping[str, Pair], rows: Sequence[Row], by: Sequence[str], *, seed: int, draws: int
) -> tuple[ComparedSlice, ...]:
    """Of `pairs` over `rows`, by each of `by`: tags, `answerability`, `question length`, or `all`.
    Raises InvalidInput for what the test set has no slices by."""
    parts = slices(rows)
    there = list(dict.fromkeys(name for name, _ in parts))
    unknown = [name for name in by if name not in (*there, ALL)]
    if unknown:
        known = ", ".join(there) or "nothing: all its examples are alike"
        raise InvalidInput(f"The test set has no slices by {unknown[0]!r}. It has them by {known}.")
    chosen = [key for key in parts if key[0] in by or ALL in by]
    measures = [pairs[name] for name in MEASURES if name in pairs][:MOST]
    found = []
    for key in chosen:
        some = [(a.only(parts[key]), b.only(parts[key])) for a, b in measures]
        ids = [row.example_id for row, here in zip(rows, parts[key], strict=True) if here]
        differences = comparisons(some, seed=seed, draws=draws)
        found += [compared(*one, ids) for one in zip(some, differences, strict=True)]
    family = iter(decided(found))
    return tuple(
        ComparedSlice(*key, int(parts[key].sum()), tuple(next(family) for _ in measures))
        for key in chosen
    )
