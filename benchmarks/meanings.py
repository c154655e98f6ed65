"""Fits what relevance, coverage and faithfulness go by: `python -m benchmarks.agreement --fit`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from benchmarks.rated import Rated
from model_pipeline.domain import Embedder
from model_pipeline.evaluation import coverage, faithfulness, relevance
from model_pipeline.evaluation.meaning import Prepared, prepare

RIDGE = 1.0
ROWS = 300  # that each kind counts for, times its weight
Numbers = NDArray[np.float64]
# Answers that are no copy of their reference count for more: that is how people's and models' are.
REAL = {"a whole passage": 3.0, "extractive": 3.0}
BY_QUESTION = {
    "a whole passage": 1.0,
    "extractive": 1.0,
    "another turn's": 1.0,
    "verbose": 1.0,
}
BY_REFERENCE = {**REAL, "another turn's": 3.0}
OF_COVERAGE = {**REAL, "a bare fact": 0.6, "of a bare fact": 0.6, "sentences removed": 0.6}
OF_FAITHFULNESS = dict.fromkeys(
    (
        "another question's",
        "another number",
        "another name",
        "denied",
        "sentences added",
        "a bare fact",
        "another product's",
    ),
    1.0,
)


@dataclass(frozen=True, slots=True)
class Row:
    """Features [claims, f] of an answer whose worth is known, and how much each claim counts."""

    rated: Rated
    found: Numbers
    share: Numbers


def fit(rated: Sequence[Rated], embedder: Embedder) -> None:
    ready = list(zip(rated, prepare([one.pair for one in rated], embedder), strict=True))
    for name, kinds, found, signs in (
        ("relevance WEIGHTS", BY_QUESTION, _by_question, "+++++"),
        ("relevance WITH_REFERENCE", BY_REFERENCE, _by_reference, "+++++++++"),
        ("coverage WEIGHTS", OF_COVERAGE, _of_coverage, "++++++"),
        ("faithfulness WEIGHTS", OF_FAITHFULNESS, _of_faithfulness, "+++---"),
    ):
        print(name, "=", _fitted(_rows(ready, kinds, found), kinds, signs))


Features = Callable[[Prepared], tuple[Numbers, Numbers] | None]


def _rows(
    ready: Sequence[tuple[Rated, Prepared]], kinds: Mapping[str, float], features: Features
) -> list[Row]:
    found = [
        (rated, features(prepared))
        for rated, prepared in ready
        if rated.kind in kinds and prepared.answer.claims.statements
    ]
    return [Row(rated, *each) for rated, each in found if each is not None]


def _by_question(ready: Prepared) -> tuple[Numbers, Numbers] | None:
    told = relevance.told_of(ready.asked, ready.answer)
    return told and (relevance.of_question(ready.asked, ready.answer, told)[None], np.ones(1))


def _by_reference(ready: Prepared) -> tuple[Numbers, Numbers] | None:
    told = relevance.told_of(ready.asked, ready.answer)
    if told is None:
        return None
    alone = relevance.of_question(ready.asked, ready.answer, told)
    beside = relevance.of_reference(ready.asked, ready.answer, told, ready.references[0])
    return np.append(alone, beside)[None], np.ones(1)


def _of_coverage(ready: Prepared) -> tuple[Numbers, Numbers] | None:
    wanted = ready.references[0].claims
    if not wanted.statements:
        return None
    return coverage.features(ready.asked, wanted, ready.answer.claims)[None], np.ones(1)


def _of_faithfulness(ready: Prepared) -> tuple[Numbers, Numbers] | None:
    claims = faithfulness.claimed(ready.asked, ready.answer)
    if not ready.passages.statements:
        return None
    return faithfulness.features(ready.asked, claims, ready.passages), claims.weights


def _fitted(rows: Sequence[Row], kinds: Mapping[str, float], signs: str) -> tuple[float, ...]:
    """Weights of the features and a constant, so that the mean of the logistic of each claim's
    features, by their shares, is the row's worth. The features' weights have the signs given: what
    speaks for an answer cannot be made to speak against it."""
    counts = Counter(row.rated.kind for row in rows)
    each = np.array([ROWS * kinds[row.rated.kind] / counts[row.rated.kind] for row in rows])
    worth = np.array([row.rated.worth for row in rows])
    of_row = np.repeat(np.arange(len(rows)), [len(row.share) for row in rows])
    share = np.concatenate([row.share for row in rows])
    found = np.concatenate([row.found for row in rows])
    inputs = np.column_stack([found, np.ones(len(found))])

    def loss(weights: Numbers) -> tuple[float, Numbers]:
        chance = 1 / (1 + np.exp(-inputs @ weights))
        mean = np.clip(np.bincount(of_row, share * chance, len(rows)), 1e-4, 1 - 1e-4)
        likely = each @ (worth * np.log(mean) + (1 - worth) * np.log(1 - mean))
        gain = each * (worth / mean - (1 - worth) / (1 - mean))
        slope = -(gain[of_row] * share * chance * (1 - chance)) @ inputs
        kept = np.append(weights[:-1], 0)
        return RIDGE * (kept @ kept) / 2 - likely, slope + RIDGE * kept

    bounds = [(0, None) if sign == "+" else (None, 0) for sign in signs] + [(None, None)]
    found_at = minimize(loss, np.zeros(len(bounds)), jac=True, bounds=bounds, method="L-BFGS-B")
    return tuple(found_at.x.round(1).tolist())
