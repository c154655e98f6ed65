import math

import numpy as np

from model_pipeline.evaluation.measured import mean


def test_a_mean_over_all_some_and_single_examples() -> None:
    measured = mean("length", "v1", [1.0, None, 3.0])
    assert measured.figure() == 2.0
    assert measured.figure(np.array([True, True, False])) == 1.0
    assert np.array_equal(measured.each(), [1.0, np.nan, 3.0], equal_nan=True)
    assert measured.higher_is_better


def test_weights_count_an_example_as_often_as_they_say() -> None:
    measured = mean("length", "v1", [1.0, 4.0])
    assert measured.figures(np.array([[2.0, 1.0], [0.0, 3.0]])).tolist() == [2.0, 4.0]


def test_what_is_not_finite_is_a_failure_and_never_part_of_the_mean() -> None:
    measured = mean("m", "v1", [1.0, math.nan, math.inf, 0.5], failures={3: "too long"})
    assert measured.figure() == 1.0
    assert measured.failures == {
        1: "not a finite number",
        2: "not a finite number",
        3: "too long",
    }


def test_nothing_scored_is_no_figure() -> None:
    assert math.isnan(mean("m", "v1", [None, None]).figure())
