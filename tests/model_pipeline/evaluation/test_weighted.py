import numpy as np
import pytest

from model_pipeline.evaluation import weights
from model_pipeline.evaluation.bootstrap import compare, interval
from model_pipeline.evaluation.measured import Measured, mean
from model_pipeline.evaluation.weighted import Part, composite, weighted, weighted_score

SHIPPED = weights.read()


def a_set(n: int = 60, *, seed: int = 0, latency: float = 1000.0) -> dict[str, Measured]:
    random = np.random.default_rng(seed)
    found = [mean(name, "v1", list(random.random(n))) for name in SHIPPED.weighted_score]
    found.append(mean("reliability", "v1", [1.0] * (n - 6) + [0.0] * 6))
    found.append(mean("latency_p50_ms", "v1", [latency] * n, best=0.0, worst=float("inf")))
    return {one.name: one for one in found}


def test_the_weighted_score_is_the_weighted_sum_of_its_figures() -> None:
    measured = a_set()
    found = weighted_score(measured, SHIPPED)
    assert isinstance(found, Measured)
    by_hand = (
        0.10 * measured["bleu_1"].figure()
        + 0.15 * measured["bleu_2"].figure()
        + 0.25 * measured["bleu_3"].figure()
        + 0.40 * measured["bleu_4"].figure()
        + 0.10 * measured["rouge_l_precision"].figure()
    )
    assert found.figure() == pytest.approx(by_hand, rel=1e-12)


def test_the_composite_of_known_parts() -> None:
    """Rubric 4 is .75 of the way, the reference latency one half, 54 of 60 answered .9."""
    measured = a_set()
    score = weighted_score(measured, SHIPPED)
    found = composite(measured, SHIPPED, 4.0)
    assert isinstance(found, Measured) and isinstance(score, Measured)
    expected = 0.5 * score.figure() + 0.3 * 0.75 + 0.1 * 0.5 + 0.1 * 0.9
    assert found.figure() == pytest.approx(expected, rel=1e-12)


def test_measured_bias_is_a_part_whose_chance_is_in_the_interval() -> None:
    measured = a_set()
    measured["bias"] = mean("bias", "v1", list(np.random.default_rng(9).random(60)))
    found, given = composite(measured, SHIPPED, None), composite(a_set(), SHIPPED, 3.0)
    assert isinstance(found, Measured) and isinstance(given, Measured)
    difference = 0.3 * (measured["bias"].figure() - 0.5)
    assert found.figure() - given.figure() == pytest.approx(difference, rel=1e-9)
    wide, narrow = interval(found, seed=0), interval(given, seed=0)
    assert wide.high - wide.low > 1.2 * (narrow.high - narrow.low)
    measured["bias"] = mean("bias", "v1", [None] * 60)
    assert composite(measured, SHIPPED, None) == "bias was not measured"


def test_speed_falls_as_latency_grows_and_stays_from_0_to_1() -> None:
    figures = []
    for latency in (0.0, 100.0, 1000.0, 1e9):
        found = composite(a_set(latency=latency), SHIPPED, 1.0)
        assert isinstance(found, Measured)
        figures.append(found.figure())
    assert figures == sorted(figures, reverse=True)
    assert figures[0] - figures[-1] == pytest.approx(0.1, abs=1e-6)


def test_what_was_not_measured_is_said_and_never_guessed() -> None:
    measured = a_set()
    assert composite(measured, SHIPPED, None) == "bias was not measured"
    without = {name: one for name, one in measured.items() if name != "latency_p50_ms"}
    assert composite(without, SHIPPED, 5.0) == "latency was not measured"
    measured["bleu_2"] = mean("bleu_2", "v1", [None] * 60)
    del measured["bleu_4"]
    assert weighted_score(measured, SHIPPED) == "not measured: bleu_2, bleu_4"
    assert composite(measured, SHIPPED, 5.0) == "not measured: bleu_2, bleu_4"


def test_parts_are_resampled_together() -> None:
    """Two parts that cancel out in every example leave an interval without width."""
    values = list(np.random.default_rng(0).random(50))
    up, down = mean("up", "v1", values), mean("down", "v1", [1 - value for value in values])
    found = interval(weighted("both", (Part(0.5, up), Part(0.5, down))), seed=0)
    assert (found.low, found.high) == (pytest.approx(0.5), pytest.approx(0.5))


def test_an_example_that_one_part_leaves_out_counts_in_the_others() -> None:
    one, other = mean("one", "v1", [1.0, None]), mean("other", "v1", [0.0, 1.0])
    found = weighted("both", (Part(0.5, one), Part(0.5, other)))
    assert found.figure() == 0.75
    assert found.scored.all() and np.isnan(found.each()[1])


def test_the_randomisation_test_is_of_the_weighted_figure() -> None:
    """One part alone with weight 1 is tested as that part itself."""
    a, b = a_set(seed=1)["bleu_1"], a_set(seed=2)["bleu_1"]
    direct = compare(a, b, seed=0)
    wrapped = compare(weighted("w", (Part(1.0, a),)), weighted("w", (Part(1.0, b),)), seed=0)
    assert (wrapped.p, wrapped.interval) == (direct.p, direct.interval)
