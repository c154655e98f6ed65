import math

import pytest

from model_pipeline.evaluation.declining import NOT_SAID, declining
from model_pipeline.evaluation.examples import Example, Pair, Prediction


def pair(answerable: bool | None, declined: bool, error: str | None = None) -> Pair:
    example = Example("1", "?", answerable=answerable)
    return Pair(example, Prediction("1", "An answer.", declined=declined, error=error))


def test_precision_and_recall() -> None:
    cases = [(False, True)] * 3 + [(False, False)] * 2 + [(True, True)] + [(True, False)] * 4
    precision, recall = declining([pair(*case) for case in cases])
    assert (precision.name, recall.name) == ("declining_precision", "declining_recall")
    assert precision.figure() == pytest.approx(3 / 4)
    assert recall.figure() == pytest.approx(3 / 5)


def test_what_is_not_known_is_named_and_left_out() -> None:
    for found in declining([pair(None, True), pair(False, True)]):
        assert found.failures == {0: NOT_SAID} and found.figure() == 1.0


def test_nothing_declined_has_no_precision_and_nothing_to_decline_no_recall() -> None:
    precision, recall = declining([pair(True, False)])
    assert math.isnan(precision.figure()) and math.isnan(recall.figure())
    assert precision.failures == {}


def test_an_error_is_not_a_declined_answer() -> None:
    precision, recall = declining([pair(False, True), pair(False, True, error="It failed.")])
    assert (precision.figure(), recall.figure()) == (1.0, 0.5)
