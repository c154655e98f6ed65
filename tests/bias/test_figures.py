"""Agreement: equal to scikit-learn and SciPy, resamples included, and NaN where there is none."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from bias.agreement import level_of, levels_of
from bias.figures import (
    AUC,
    KAPPA,
    SIGNED,
    SPEARMAN,
    WITHIN_ONE,
    auc,
    false_alarms,
    figures,
    judged,
    kappa,
    of_binary,
    of_ratings,
    spearman,
)
from bias.labels import Labelled
from bias.verdicts import Unjudged
from model_pipeline.evaluation.measured import Measured
from tests.bias.lexicon import verdict

RNG = np.random.default_rng(3)
LEVELS = RNG.integers(1, 6, 150)
WANTED = np.clip(LEVELS + RNG.integers(-2, 3, 150), 1, 5)
SCORES = np.round(RNG.normal(3, 1, 150), 1)  # with ties
RATINGS = np.round(SCORES + RNG.normal(0, 1, 150))
HARMFUL = RATINGS < 3
WEIGHTS = RNG.integers(0, 4, 150)
REPEATED = np.repeat(np.arange(150), WEIGHTS)


def resampled(measured: Measured) -> float:
    return float(measured.figures(WEIGHTS[None, :].astype(np.float64))[0])


def test_half_way_is_the_fairer_level() -> None:
    scores = [1.0, 1.49, 1.5, 2.5, 4.5, 5.0, 0.0, 9.0]
    assert levels_of(scores).tolist() == [1, 1, 2, 3, 5, 5, 1, 5]
    assert [level_of(one) for one in scores] == levels_of(scores).tolist()


def test_kappa_is_scikit_learns() -> None:
    def theirs(places: np.ndarray) -> float:
        return float(
            sklearn.metrics.cohen_kappa_score(LEVELS[places], WANTED[places], weights="quadratic")
        )

    found = kappa(list(LEVELS), list(WANTED))
    assert found.figure() == pytest.approx(theirs(np.arange(150)), abs=1e-12)
    assert resampled(found) == pytest.approx(theirs(REPEATED), abs=1e-12)


def test_spearman_is_scipys() -> None:
    found = spearman(list(SCORES), list(RATINGS))
    assert found.figure() == pytest.approx(scipy.stats.spearmanr(SCORES, RATINGS)[0], abs=1e-12)
    theirs = scipy.stats.spearmanr(SCORES[REPEATED], RATINGS[REPEATED])[0]
    assert resampled(found) == pytest.approx(theirs, abs=1e-12)


def test_the_area_under_the_curve_is_scikit_learns() -> None:
    found = auc(list(SCORES), list(HARMFUL))
    theirs = sklearn.metrics.roc_auc_score(~HARMFUL, SCORES)
    assert found.figure() == pytest.approx(theirs, abs=1e-12)
    theirs = sklearn.metrics.roc_auc_score(~HARMFUL[REPEATED], SCORES[REPEATED])
    assert resampled(found) == pytest.approx(theirs, abs=1e-12)


def test_what_has_no_spread_has_no_figure() -> None:
    alike = [3] * 20
    with np.errstate(all="raise"):
        assert math.isnan(kappa(alike, alike).figure())
        assert math.isnan(spearman([3.0] * 20, list(range(20))).figure())
        assert math.isnan(auc([1.0, 2.0], [True, True]).figure())
        found = figures([kappa([], []), spearman([], []), auc([], [])], seed=0)
    assert all(math.isnan(one.value) and one.n == 0 for one in found.values())


def test_ratings_are_held_against_levels_and_scores() -> None:
    rows = [Labelled("a", 4.4, False), Labelled("b", 1.0, True), Labelled("c", 5.0, False)]
    verdicts = [verdict(3.6), verdict(3.0), verdict(2.0)]
    found = {one.name: one.figure() for one in of_ratings(verdicts, rows)}
    assert found[WITHIN_ONE] == pytest.approx(1 / 3)  # 4 and 4; 3 and 1; 2 and 5
    assert found[SIGNED] == pytest.approx((-0.8 + 2 - 3) / 3)
    assert found[SPEARMAN] == pytest.approx(-0.5)
    assert KAPPA in found
    assert false_alarms(verdicts, rows).figure() == 0.5  # of a and c, c


def test_binary_labels_have_precision_and_recall_at_two_levels() -> None:
    rows = [Labelled("a", None, True), Labelled("b", None, True), Labelled("c", None, False)]
    verdicts = [verdict(1.0), verdict(3.0), verdict(3.2)]
    found = {one.name: one.figure() for one in of_binary(verdicts, rows)}
    assert found[AUC] == 1.0
    assert (found["precision_at_2"], found["recall_at_2"]) == (1.0, 0.5)
    assert (found["precision_at_3"], found["recall_at_3"]) == (pytest.approx(2 / 3), 1.0)
    assert false_alarms(verdicts, rows).figure() == 0.0


def test_what_is_not_judged_is_left_out_with_its_label() -> None:
    rows = [Labelled("a", 1.0, True), Labelled("b", 5.0, False)]
    verdicts, own = judged([Unjudged("no"), verdict(5.0)], rows)
    assert own == rows[1:] and verdicts == [verdict(5.0)]
