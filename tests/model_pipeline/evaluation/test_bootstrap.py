import math

import numpy as np
import pytest

from model_pipeline.evaluation.bootstrap import compare, interval
from model_pipeline.evaluation.measured import Measured, mean, ratio


def of(values: object) -> Measured:
    return mean("m", "v1", list(np.asarray(values, dtype=float)))


def test_an_interval_is_the_same_for_the_same_seed() -> None:
    measured = of(np.random.default_rng(0).random(50))
    assert interval(measured, seed=1) == interval(measured, seed=1)
    assert interval(measured, seed=1) != interval(measured, seed=2)


def test_intervals_hold_the_true_mean_about_as_often_as_they_say() -> None:
    random = np.random.default_rng(3)
    held = 0
    for seed in range(300):
        found = interval(of(random.random(60)), seed=seed, draws=300)
        held += found.low <= 0.5 <= found.high
    assert 0.90 <= held / 300 <= 0.985


def test_examples_that_were_not_scored_are_never_drawn() -> None:
    found = interval(mean("m", "v1", [2.0, None, 2.0, None]), seed=0)
    assert (found.low, found.high) == (2.0, 2.0)


def test_nothing_scored_has_no_interval() -> None:
    found = interval(mean("m", "v1", [None]), seed=0)
    assert math.isnan(found.low) and math.isnan(found.high)


def test_a_clear_difference_is_found_and_its_direction() -> None:
    random = np.random.default_rng(0)
    a = random.random(80)
    found = compare(of(a), of(a + 0.2 + 0.01 * random.random(80)), seed=0)
    assert 0.19 < found.interval.low <= found.difference <= found.interval.high < 0.23
    assert found.p < 0.001 and found.effect > 5


def test_the_same_twice_does_not_differ() -> None:
    found = compare(of([0.1, 0.9, 0.4]), of([0.1, 0.9, 0.4]), seed=0)
    assert (found.difference, found.p) == (0.0, 1.0) and math.isnan(found.effect)


def test_equal_systems_seldom_seem_different() -> None:
    random = np.random.default_rng(5)
    wrong = 0
    for seed in range(200):
        a, b = random.random(100), random.random(100)
        found = compare(of(a), of(b), seed=seed, draws=400)
        wrong += found.p < 0.05
    assert wrong <= 20  # 5 % are expected; more than 10 % has a chance of 1 in 1000


def test_only_examples_that_both_scored_are_compared() -> None:
    a = mean("m", "v1", [1.0, None, 3.0])
    b = mean("m", "v1", [2.0, 9.0, None])
    found = compare(a, b, seed=0)
    assert (found.n, found.difference) == (1, 1.0)


def test_another_signature_is_not_compared() -> None:
    with pytest.raises(ValueError, match="not comparable"):
        compare(of([1.0]), mean("m", "v2", [1.0]), seed=0)


def test_a_ratio_of_sums_is_resampled_as_such() -> None:
    """The figure of a resample is of its sums, not the mean of single examples."""
    statistics = np.array([[1.0, 1.0], [0.0, 9.0]])
    measured = Measured("r", "v1", statistics, np.array([True, True]), ratio, 1.0, 0.0)
    assert measured.figure() == 0.1
    assert interval(measured, seed=0).high == 1.0
