import math
from dataclasses import replace

import numpy as np
import pytest

from model_pipeline.errors import InvalidInput
from model_pipeline.evaluation import length, weights
from model_pipeline.evaluation.compared import holm
from model_pipeline.evaluation.comparison import Comparison, Score, compare, weigh
from model_pipeline.evaluation.examples import TestSet, paired
from model_pipeline.evaluation.measured import mean
from model_pipeline.evaluation.scorecard import Scorecard, score
from model_pipeline.evaluation.weighted import Weighted, weighted_score
from tests.model_pipeline.evaluation.cards import answers, make_card, make_set

SHIPPED = weights.read()


def with_scores(values: np.ndarray, *, bias: float | None = None) -> Scorecard:
    """All parts of the weighted score have these values [n], and every latency is 1 s."""
    test_set = make_set(len(values))
    pairs = paired(test_set, answers(test_set, kept=1.0, seed=0))
    parts = [mean(name, "v1", list(values)) for name in SHIPPED.weighted_score]
    parts.append(mean("latency_p50_ms", "v1", [1000.0] * len(values), best=0.0, worst=math.inf))
    return score(test_set, pairs, parts, release_id="r", seed=0, draws=2, bias=bias)


def of(comparison: Comparison, name: str = "rouge_1_recall"):  # type: ignore[no-untyped-def]
    return next(one for one in comparison.metrics if one.name == name)


def test_a_better_release_is_shown_to_be_better_and_the_other_way_round_worse() -> None:
    a, b = make_card(kept=0.4), make_card(kept=0.9, seed=1)
    there, back = of(compare(a, b, SHIPPED)), of(compare(b, a, SHIPPED))
    assert (there.direction, back.direction) == ("better", "worse")
    assert there.difference.difference == pytest.approx(there.b - there.a, rel=1e-9)
    assert back.difference.difference == pytest.approx(-there.difference.difference)
    assert (there.wins, there.losses) == (back.losses, back.wins)
    assert there.wins + there.losses + there.ties == 24
    assert there.p_holm >= there.difference.p


def test_less_is_better_where_it_is() -> None:
    test_set = make_set()
    given = answers(test_set, kept=0.7, seed=0)
    slower = [replace(one, latency_ms=(one.latency_ms or 0) + 500) for one in given]
    found = of(compare(make_card(given), make_card(slower), SHIPPED), "latency_mean_ms")
    assert (found.direction, found.losses, found.wins) == ("worse", 24, 0)
    assert found.difference.difference == pytest.approx(500)


def test_the_same_twice_shows_no_difference() -> None:
    found = compare(make_card(), make_card(), SHIPPED)
    assert {one.direction for one in found.metrics} == {"no difference shown"}
    assert of(found).ties == 24 and of(found).best == of(found).worst == ()


def test_the_largest_differences_are_named_both_ways() -> None:
    values = np.full(10, 0.5)
    changed = values.copy()
    changed[[2, 7, 4]] = 1.0, 0.9, 0.1
    found = of(compare(with_scores(values), with_scores(changed), SHIPPED), "bleu_1")
    assert (found.best, found.worst) == (("q002", "q007"), ("q004",))


def test_examples_are_paired_by_id_whatever_their_order() -> None:
    test_set = make_set()
    given = answers(test_set, kept=0.6, seed=3)
    turned = TestSet("turned", test_set.examples[::-1])
    found = compare(make_card(given), make_card(given, test_set=turned), SHIPPED)
    assert of(found).ties == 24 and of(found).difference.difference == pytest.approx(0, abs=1e-12)
    assert found.order_b == tuple(range(23, -1, -1))


def test_another_test_set_or_way_of_measuring_is_refused_in_one_sentence() -> None:
    with pytest.raises(InvalidInput, match="only scorecards of the same test set"):
        compare(make_card(), make_card(test_set=make_set(23)), SHIPPED)
    card = make_card()
    other = replace(card.measured[0], signature="words|v2")
    changed = replace(card, measured=(other, *card.measured[1:]))
    with pytest.raises(InvalidInput, match=r"words\|v1 in A and words\|v2 in B"):
        compare(card, changed, SHIPPED)


def test_metrics_that_only_one_has_are_named() -> None:
    card = make_card()
    fewer = replace(card, measured=card.measured[1:])
    assert compare(fewer, card, SHIPPED).only == ("rouge_1_recall",)


def test_a_metric_without_examples_that_both_scored_shows_nothing() -> None:
    card = make_card()
    empty = replace(card.measured[0], scored=np.zeros(24, dtype=bool))
    changed = replace(card, measured=(empty.masked(empty.scored), *card.measured[1:]))
    found = of(compare(card, changed, SHIPPED))
    assert (found.difference.n, found.direction) == (0, "no difference shown")
    assert math.isnan(found.difference.p) and math.isnan(found.p_holm)


def test_holm_as_worked_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, math.nan, 0.005])[:3] == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.01, 0.04, 0.03, math.nan, 0.005])[4] == pytest.approx(0.02)
    assert holm([0.6, 0.9]) == [1.0, 1.0] and holm([]) == []


def test_the_composite_wants_the_bias_of_both() -> None:
    values = np.random.default_rng(0).random(30)
    measured, not_measured = with_scores(values, bias=4.0), with_scores(values)
    assert compare(measured, not_measured, SHIPPED).composite == "bias was not measured in B"
    neither = compare(not_measured, not_measured, SHIPPED).composite
    assert neither == "bias was not measured in A and B"
    found = compare(measured, not_measured, SHIPPED, bias_b=5.0).composite
    assert isinstance(found, Score)
    # Ahead by the margin and the interval; but that of bias is in none.
    assert found.difference == pytest.approx(0.3 / 4) and found.interval.low > 0
    assert found.undecided and not found.better
    with pytest.raises(InvalidInput, match="1 to 5"):
        compare(measured, not_measured, SHIPPED, bias_b=7)


def test_bias_that_was_measured_by_example_is_in_the_interval() -> None:
    values = np.random.default_rng(0).random(60)
    fair = np.random.default_rng(1).random(60)
    a = with_bias(with_scores(values), fair)
    surely = compare(a, with_bias(with_scores(values), fair + 0.1), SHIPPED).composite
    assert isinstance(surely, Score) and surely.better and surely.undecided is None
    assert surely.difference == pytest.approx(0.03)
    assert surely.interval.low == pytest.approx(surely.interval.high)
    # Ahead in the mean, by examples that differ much: the interval knows.
    other = np.random.default_rng(2).permutation(fair) + 0.05
    hardly = compare(a, with_bias(with_scores(values), other), SHIPPED).composite
    assert isinstance(hardly, Score) and not hardly.better
    assert hardly.difference == pytest.approx(0.015)
    assert hardly.interval.low < 0 < hardly.interval.high
    lacking = compare(a, with_scores(values), SHIPPED).composite
    assert lacking == "bias was not measured in B"
    otherwise = compare(a, with_scores(values), SHIPPED, bias_a=4, bias_b=4).composite
    assert isinstance(otherwise, Score) and otherwise.undecided


def with_bias(card: Scorecard, values: np.ndarray) -> Scorecard:
    return replace(card, measured=(*card.measured, mean("bias", "v1", list(values))))


def test_of_two_length_ratios_the_one_nearer_to_1_is_better() -> None:
    """A is a half too long, B a tenth too short, and a fifth too long: both are nearer."""
    for words, off in ((9.0, 0.1), (12.0, 0.2)):
        a, b = (with_length(given) for given in (15.0, words))
        there, back = compare(a, b, SHIPPED), compare(b, a, SHIPPED)
        found = of(there, "length_distance")
        assert (found.a, found.b) == (pytest.approx(0.5), pytest.approx(off))
        assert (found.direction, of(back, "length_distance").direction) == ("better", "worse")
        assert found.difference.difference == pytest.approx(off - 0.5)
        assert found.difference.interval.high < 0
        assert found.wins == 30
        assert there.beside["length_ratio"] == (pytest.approx(1.5), pytest.approx(words / 10))
    # As far below as above: there is nothing between them, though the ratios differ.
    even = of(compare(with_length(8.0), with_length(12.0), SHIPPED), "length_distance")
    assert even.direction == "no difference shown"


def with_length(words: float) -> Scorecard:
    """Answers of about so many words to references of ten."""
    answers = words + np.resize([0.5, -0.5], 30)
    counts = np.stack([answers, np.full(30, 10.0)], axis=1)
    found = length.measured(counts, np.ones(30, dtype=bool), {})
    card = with_scores(np.full(30, 0.5))
    return replace(card, measured=(*card.measured, *found))


def test_equal_models_are_promoted_by_margin_and_interval_in_5_percent_at_most() -> None:
    """The bare margin promotes about half of the time: noise."""
    random = np.random.default_rng(11)
    by_margin = by_both = 0
    for seed in range(400):
        skill = random.random(100)
        a, b = (_scores(np.clip(skill + random.normal(0, 0.2, 100), 0, 1)) for _ in "ab")
        found = weigh(a, b, margin=SHIPPED.margin, seed=seed, draws=300)
        by_margin += found.difference >= SHIPPED.margin
        by_both += found.better
    assert by_margin >= 160
    assert by_both <= 20


def _scores(values: np.ndarray) -> Weighted:
    parts = {name: mean(name, "v1", list(values)) for name in SHIPPED.weighted_score}
    found = weighted_score(parts, SHIPPED)
    assert isinstance(found, Weighted)
    return found


def test_a_model_that_is_better_is_promoted() -> None:
    random = np.random.default_rng(12)
    a = random.random(100)
    found = compare(
        with_scores(a), with_scores(a + 0.05 * random.random(100)), SHIPPED
    ).weighted_score
    assert isinstance(found, Score) and found.better
