"""Agreement with ratings, against scipy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr
from sklearn.metrics import roc_auc_score

from model_pipeline.errors import InvalidInput
from model_pipeline.evaluation.agreement import DRAWS, MAX_ROWS, MIN_ROWS, Agreement, drawn


def agreement(score: object, *, good: float = 4, seed: int = 0) -> Agreement:
    found = drawn({"one": score}, RATINGS, LENGTHS, good=good, seed=seed)  # type: ignore[dict-item]
    return found["one"].agreement()


RANDOM = np.random.default_rng(3)
RATINGS = RANDOM.integers(1, 6, 80).astype(float)  # many ties
SCORE = RATINGS + RANDOM.normal(0, 1.5, 80).round(1)
LENGTHS = RANDOM.integers(5, 200, 80)


def test_equals_the_reference_implementations_with_ties() -> None:
    found = agreement(SCORE)
    assert found.spearman.value == pytest.approx(spearmanr(SCORE, RATINGS)[0], abs=1e-9)
    assert found.kendall.value == pytest.approx(kendalltau(SCORE, RATINGS)[0], abs=1e-9)
    assert found.auc.value == pytest.approx(roc_auc_score(RATINGS >= 4, SCORE), abs=1e-9)
    assert found.length.value == pytest.approx(spearmanr(SCORE, LENGTHS)[0], abs=1e-9)


def test_resamples_equal_the_statistic_of_the_rows_drawn() -> None:
    found = agreement(SCORE, seed=5)
    drawn = np.random.default_rng(5).multinomial(80, np.full(80, 1 / 80), size=DRAWS)
    rows = [np.repeat(np.arange(80), counts) for counts in drawn]
    each = [spearmanr(SCORE[chosen], RATINGS[chosen])[0] for chosen in rows]
    low, high = np.quantile(each, [0.025, 0.975])
    assert (found.spearman.low, found.spearman.high) == pytest.approx((low, high), abs=1e-9)
    taus = [kendalltau(SCORE[chosen], RATINGS[chosen])[0] for chosen in rows[:200]]
    assert found.kendall.low < np.median(taus) < found.kendall.high


def test_differences_are_of_the_same_resamples() -> None:
    scores = {"one": SCORE, "same": SCORE * 2, "noise": RANDOM.normal(size=80)}
    found = drawn(scores, RATINGS, LENGTHS, good=4, seed=0)
    same = found["same"].less(found["one"])
    assert same.spearman.low == same.spearman.high == 0
    noise = found["noise"].less(found["one"])
    assert noise.spearman.high < 0
    assert noise.auc.high < 0


def test_what_is_the_same_for_all_agrees_with_nothing() -> None:
    found = agreement(np.ones(80))
    assert np.isnan(found.spearman.value)
    assert np.isnan(found.kendall.low)
    assert found.auc.value == 0.5
    assert np.isnan(agreement(SCORE, good=9).auc.value)


@pytest.mark.parametrize("rows", [0, MIN_ROWS - 1, MAX_ROWS + 1])
def test_too_few_and_too_many_rows(rows: int) -> None:
    with pytest.raises(InvalidInput, match=f"There are {rows} rated answers"):
        drawn({}, np.zeros(rows), np.zeros(rows), good=1, seed=0)
