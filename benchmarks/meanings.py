"""Fits what relevance, coverage and faithfulness go by: `python -m benchmarks.agreement --fit`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.isotonic import IsotonicRegression

from benchmarks.rated import Rated
from model_pipeline.domain import Embedder
from model_pipeline.evaluation import coverage, faithfulness, relevance
from model_pipeline.evaluation.meaning import Prepared, prepare

RIDGE = 1.0
Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Row:
    rated: Rated
    ready: Prepared


def fit(rated: Sequence[Rated], embedder: Embedder) -> None:
    ready = prepare([one.pair for one in rated], embedder)
    rows = [Row(*both) for both in zip(rated, ready, strict=True)]
    fit_relevance(rows)
    fit_coverage(rows)
    fit_faithfulness(rows)


def fit_relevance(rows: Sequence[Row]) -> None:
    chosen = _of(rows, "another question's", "extractive")
    found = [relevance.features(row.ready.asked, row.ready.answer) for row in chosen]
    kept = [n for n, one in enumerate(found) if one is not None]
    shares = [(np.array([found[n]]), np.ones(1)) for n in kept]
    print("relevance WEIGHTS =", _fitted(shares, [chosen[n] for n in kept], signs=(1, 1, 1, 1)))


def fit_coverage(rows: Sequence[Row]) -> None:
    def found(row: Row) -> Numbers:
        return coverage.features(
            row.ready.asked, row.ready.references[0].claims, row.ready.answer.claims
        )

    def claiming(row: Row) -> bool:
        return bool(
            row.ready.references[0].claims.statements and row.ready.answer.claims.statements
        )

    chosen = [row for row in _of(rows, "extractive") if claiming(row)]
    weights = _fitted([(found(row)[None], np.ones(1)) for row in chosen], chosen, signs=(1, 1, 1))
    print("coverage WEIGHTS =", weights)
    kinds = "sentences removed", "another question's", "extractive"
    chosen = [row for row in _of(rows, *kinds) if claiming(row)]
    weighed = np.array([found(row) @ weights[:-1] for row in chosen])
    worth = np.array([row.rated.worth for row in chosen])
    curve = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    curve.fit(weighed, worth, sample_weight=_even(chosen))
    knots = np.linspace(0, sum(weights[:-1]), 8)
    near = [np.mean(curve.predict(np.linspace(one - 0.5, one + 0.5, 21))) for one in knots]
    print("coverage WEIGHED =", tuple(knots.round(2).tolist()))
    print("coverage CARRIED =", tuple(np.round(near, 2).tolist()))


def fit_faithfulness(rows: Sequence[Row]) -> None:
    kinds = "another question's", "another number", "another name", "denied", "sentences added"
    chosen = [
        row
        for row in _of(rows, *kinds)
        if row.ready.answer.claims.statements and row.ready.passages.statements
    ]
    shares = []
    for row in chosen:
        claims = row.ready.answer.claims
        shares.append(
            (faithfulness.features(row.ready.asked, claims, row.ready.passages), claims.weights)
        )
    signs = (1, 1, 1, -1, -1, -1)
    print("faithfulness WEIGHTS =", _fitted(shares, chosen, signs=signs))


def _of(rows: Sequence[Row], *kinds: str) -> list[Row]:
    return [row for row in rows if row.rated.kind in kinds]


def _even(rows: Sequence[Row]) -> Numbers:
    """Each kind weighs the same, 300 rows."""
    counts = Counter(row.rated.kind for row in rows)
    return np.array([300 / counts[row.rated.kind] for row in rows])


def _fitted(
    shares: Sequence[tuple[Numbers, Numbers]], rows: Sequence[Row], *, signs: Sequence[int]
) -> tuple[float, ...]:
    """Weights of the features and a constant, so that the mean of the logistic of each claim's
    features [claims, f], by the weights [claims], is the row's worth. The features' weights have
    the signs given: what speaks for an answer cannot be made to speak against it."""
    worth = [row.rated.worth for row in rows]
    even = _even(rows)

    def loss(weights: Numbers) -> tuple[float, Numbers]:
        total = RIDGE * (weights[:-1] ** 2).sum() / 2
        slope = np.append(RIDGE * weights[:-1], 0)
        for (found, share), right, weight in zip(shares, worth, even, strict=True):
            inputs = np.column_stack([found, np.ones(len(found))])
            each = 1 / (1 + np.exp(-inputs @ weights))
            mean = np.clip(share @ each, 1e-4, 1 - 1e-4)
            total -= weight * (right * np.log(mean) + (1 - right) * np.log(1 - mean))
            gain = right / mean - (1 - right) / (1 - mean)
            slope -= weight * gain * ((share * each * (1 - each)) @ inputs)
        return total, slope

    bounds = [(0, None) if sign > 0 else (None, 0) for sign in signs] + [(None, None)]
    found = minimize(loss, np.zeros(len(bounds)), jac=True, bounds=bounds, method="L-BFGS-B")
    return tuple(found.x.round(1).tolist())
