import numpy as np
import pytest

from model_pipeline.errors import InvalidInput
from model_pipeline.evaluation import comparison_report, weights
from model_pipeline.evaluation.compared import holm
from model_pipeline.evaluation.compared_slices import compared_slices
from model_pipeline.evaluation.comparison import Comparison, compare
from model_pipeline.evaluation.examples import Example, TestSet, paired
from model_pipeline.evaluation.measured import mean
from model_pipeline.evaluation.scorecard import Scorecard, score

SHIPPED = weights.read()
TOPICS = ["rivers"] * 60 + ["food"] * 60 + ["<b>|time"] * 10


def make(values: np.ndarray) -> Scorecard:
    examples = [
        Example(f"q{n}", "How long?" * (1 + 9 * (n % 2)), ("x",), tags={"topic": topic})
        for n, topic in enumerate(TOPICS)
    ]
    test_set = TestSet("t", tuple(examples))
    parts = [mean(name, "v1", list(values)) for name in ("relevance", "rouge_l_f1")]
    return score(test_set, paired(test_set, []), parts, release_id="r", seed=0, draws=2)


@pytest.fixture(scope="module")
def found() -> Comparison:
    """B is better by the same on all rivers, worse on all food, and not told apart on time."""
    a = np.random.default_rng(0).uniform(0.3, 0.6, len(TOPICS))
    change = {"rivers": 0.2, "food": -0.2, "<b>|time": 0.0}
    b = a + np.array([change[topic] for topic in TOPICS])
    return compare(make(a), make(b), SHIPPED, draws=400, by=["topic"])


def test_a_release_that_is_even_on_the_whole_is_better_here_and_worse_there(
    found: Comparison,
) -> None:
    whole = next(one for one in found.metrics if one.name == "relevance")
    assert whole.direction == "no difference shown"
    directions = {one.value: one.metrics[0].direction for one in found.slices}
    assert directions == {
        "<b>|time": "no difference shown",
        "food": "worse",
        "rivers": "better",
    }
    rivers = found.slices[-1]
    assert (rivers.by, rivers.n, rivers.metrics[0].wins) == ("topic", 60, 60)
    assert rivers.metrics[0].difference.difference == pytest.approx(0.2)
    assert set(rivers.metrics[0].best) <= {f"q{n}" for n in range(60)}


def test_p_is_adjusted_over_all_slices_and_metrics_together(found: Comparison) -> None:
    family = [metric for one in found.slices for metric in one.metrics]
    assert len(family) == 3 * 3  # reliability is of every scorecard
    expected = holm([one.difference.p for one in family])
    assert [one.p_holm for one in family] == pytest.approx(expected, nan_ok=True)


def test_small_slices_are_said_and_not_hidden(found: Comparison) -> None:
    assert [one.small for one in found.slices] == [True, False, False]
    text, page = comparison_report.markdown(found), comparison_report.html(found)
    assert "10 (small)" in text and "10 (small)" in page
    assert "<b>" not in text and "<b>|" not in page
    rows = [line for line in text.splitlines() if line.startswith("| topic: ")]
    assert len(rows) == 3
    as_object = comparison_report.as_object(found)["slices"]
    assert [one["small"] for one in as_object] == [True, False, False]


def test_equal_releases_are_told_apart_in_5_percent_at_most() -> None:
    """Of families of three tests each: without Holm it would be one in seven."""
    random = np.random.default_rng(3)
    rows = make(np.zeros(len(TOPICS))).rows
    told = 0
    for seed in range(100):
        a, b = (mean("relevance", "v1", list(random.uniform(0, 1, len(TOPICS)))) for _ in "ab")
        found = compared_slices({"relevance": (a, b)}, rows, ["topic"], seed=seed, draws=200)
        told += any(one.metrics[0].direction != "no difference shown" for one in found)
    assert told <= 10  # 5 are expected at most; 11 and more come in 1 % of tries


def test_all_and_several_and_unknown_slices() -> None:
    card = make(np.full(len(TOPICS), 0.5))
    assert compare(card, card, SHIPPED, draws=2).slices == ()
    every = compare(card, card, SHIPPED, draws=2, by=["all"]).slices
    assert {one.by for one in every} == {"topic", "question length"}
    both = compare(card, card, SHIPPED, draws=2, by=["topic", "question length"])
    assert [(one.by, one.value) for one in both.slices] == [(o.by, o.value) for o in every]
    with pytest.raises(InvalidInput, match="no slices by 'colour'"):
        compare(card, card, SHIPPED, draws=2, by=["colour"])
