import math
from dataclasses import replace
from importlib import metadata

import numpy as np
import pytest

from model_pipeline.errors import InvalidInput
from model_pipeline.evaluation.bootstrap import interval
from model_pipeline.evaluation.examples import MISSING, Example, Prediction, TestSet, paired
from model_pipeline.evaluation.measured import mean
from model_pipeline.evaluation.reliability import EMPTY, UNTOLD
from model_pipeline.evaluation.scorecard import score
from tests.model_pipeline.evaluation.cards import answers, make_card, make_set


def test_each_metric_has_its_figure_interval_and_count() -> None:
    card = make_card()
    measured = card.measured[0]
    figure = card.figures["rouge_1_recall"]
    assert figure.value == measured.figure() and figure.n == 24
    alone = interval(measured, seed=0, draws=200)  # summed in another order than with others
    assert (figure.interval.low, figure.interval.high) == pytest.approx((alone.low, alone.high))
    assert figure.interval.low < figure.value < figure.interval.high


def test_slices_are_of_tags_answerability_and_length_and_small_ones_are_marked() -> None:
    card = make_card(test_set=make_set(120))
    by = {(one.by, one.value): one for one in card.slices}
    assert [value for kind, value in by if kind == "topic"] == ["food", "physics", "rivers", "time"]
    assert by["answerability", "not answerable"].n == 20
    assert by["answerability", "not answerable"].figures["rouge_1_recall"].small
    assert not by["topic", "food"].figures["rouge_1_recall"].small
    lengths = [one for one in card.slices if one.by == "question length"]
    assert [one.value for one in lengths] == ["up to 50 characters", "51 to 100"]
    assert sum(one.n for one in lengths) == 120
    food = np.array([row.tags["topic"] == "food" for row in card.rows])
    sliced = by["topic", "food"].figures["rouge_1_recall"]
    assert sliced.value == pytest.approx(card.measured[0].figure(food), rel=1e-12)


def test_examples_without_a_tag_that_others_have_are_a_slice_too() -> None:
    test_set = TestSet("t", (Example("a", "Who?", tags={"topic": "x"}), Example("b", "When?")))
    card = score(test_set, paired(test_set, []), [], release_id="r", seed=0, draws=10)
    assert [(one.by, one.value, one.n) for one in card.slices] == [
        ("topic", "(none)", 1),
        ("topic", "x", 1),
    ]


def test_failures_of_the_release_are_listed_by_name_and_count_as_unreliable() -> None:
    given = answers(make_set(), kept=1.0, seed=0)[3:]
    given[0] = Prediction("q003", error="The model does not answer.")
    given[1] = Prediction("q004", answer=" \n")
    given[2] = Prediction("q005", answer="")  # which has no answer, so that silence is right
    given[3] = Prediction("q006", declined=True)
    given[4] = Prediction("q007", error="  ")
    card = make_card(given)
    assert card.failures() == {
        MISSING: ["q000", "q001", "q002"],
        "The model does not answer.": ["q003"],
        EMPTY: ["q004"],
        UNTOLD: ["q007"],
    }
    assert card.figures["reliability"].value == 18 / 24


def test_what_a_metric_could_not_score_is_listed_and_no_part_of_its_count() -> None:
    test_set = make_set(4)
    pairs = paired(test_set, answers(test_set, kept=1.0, seed=0))
    judged = mean("judged", "v1", [0.5, None, math.nan, None], failures={3: "the judge timed out"})
    card = score(test_set, pairs, [judged], release_id="r", seed=0, draws=10)
    assert card.figures["judged"].n == 1
    assert card.unscored(card.measured[0]) == {
        "not a finite number": ["q002"],
        "the judge timed out": ["q003"],
    }


def test_the_versions_of_what_decides_figures_are_kept() -> None:
    versions = make_card().versions
    assert versions["numpy"] == metadata.version("numpy")
    assert versions["promptly-rag"] == metadata.version("promptly-rag")
    assert versions["python"].count(".") == 2


@pytest.mark.parametrize("bias", [0.99, 5.01, math.nan])
def test_a_rubric_score_beyond_the_rubric_is_refused(bias: float) -> None:
    with pytest.raises(InvalidInput, match="1 to 5"):
        make_card(bias=bias)


def test_the_order_of_examples_changes_no_figure_that_adds_up() -> None:
    test_set = make_set()
    turned = replace(test_set, examples=test_set.examples[::-1])
    given = answers(test_set, kept=0.5, seed=1)
    one, other = make_card(given), make_card(given, test_set=turned)
    assert one.test_set_hash == other.test_set_hash
    assert one.figures["rouge_1_recall"].value == pytest.approx(
        other.figures["rouge_1_recall"].value, rel=1e-12
    )
