import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_pipeline.evaluation.bootstrap import compare, interval
from model_pipeline.evaluation.examples import Example, Pair, Prediction
from model_pipeline.evaluation.latency import NO_ANSWER, NOT_A_TIME, NOT_MEASURED, latency
from model_pipeline.evaluation.measured import Measured


def measured(times: Sequence[float | None]) -> tuple[Measured, Measured]:
    p50, p95 = latency(
        [Pair(Example("1", "?"), Prediction("1", "x", latency_ms=time)) for time in times]
    )
    return p50, p95


def test_by_hand() -> None:
    p50, p95 = measured([30.0, 10.0, 20.0, *range(100, 117)])  # twenty, 19 of which stay below 116
    assert (p50.name, p95.name) == ("latency_p50_ms", "latency_p95_ms")
    assert (p50.figure(), p95.figure()) == (106, 115)
    assert not p50.higher_is_better
    assert p50.each()[:3].tolist() == [30, 10, 20]


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 5)), min_size=1, max_size=40).filter(
        lambda rows: any(weight for _, weight in rows)
    )
)
def test_weights_count_a_time_as_often_as_they_say(rows: list[tuple[float, int]]) -> None:
    times, weights = zip(*rows, strict=True)
    for found, q in zip(measured(times), (0.5, 0.95), strict=True):
        expected = np.quantile(np.repeat(times, weights), q, method="inverted_cdf")
        assert found.figures(np.array([weights], dtype=float))[0] == expected


def test_what_has_no_time_is_named_and_never_counted() -> None:
    failed = Prediction("1", error="It took too long.", latency_ms=1.0)
    answered = [Prediction("1", "x", latency_ms=ms) for ms in (5.0, None, math.nan, -1.0)]
    pairs = [Pair(Example("1", "?"), one) for one in (failed, *answered)]
    for found in latency(pairs):
        assert found.figure() == 5.0
        assert found.scored.tolist() == [False, True, False, False, False]
        assert found.failures == {0: NO_ANSWER, 2: NOT_MEASURED, 3: NOT_A_TIME, 4: NOT_A_TIME}


def test_nothing_measured_is_no_figure() -> None:
    for found in measured([None, None]):
        assert math.isnan(found.figure()) and math.isnan(interval(found, seed=0).low)


def test_a_slice_keeps_its_quantile() -> None:
    p95 = measured([1.0, 2.0, 3.0, 400.0])[1]
    assert p95.only(np.array([0, 1, 2])).figure() == 3.0


def test_intervals_hold_the_true_quantile_about_as_often_as_they_say() -> None:
    random = np.random.default_rng(0)
    true = math.log(2) * 100  # the median of exponential times with a mean of 100 ms
    held = 0
    for seed in range(200):
        found = interval(measured(random.exponential(100, 60).tolist())[0], seed=seed, draws=200)
        held += found.low <= true <= found.high
    assert 0.88 <= held / 200 <= 0.99


def test_a_slower_release_is_found_and_equal_ones_are_not_told_apart() -> None:
    random = np.random.default_rng(0)
    times = random.exponential(100, 200)
    a, b = measured(times.tolist())[0], measured((times * 1.5 + 5).tolist())[0]
    found = compare(a, b, seed=0)
    assert found.interval.low > 0 and found.p < 0.01
    wrong = 0
    for seed in range(100):
        pair = [measured(random.exponential(100, 80).tolist())[0] for _ in range(2)]
        wrong += compare(*pair, seed=seed, draws=300).p < 0.05
    assert wrong <= 12  # 5 are expected


def test_the_randomisation_test_swaps_times_not_sums() -> None:
    found = compare(measured([10.0, 20.0, 30.0])[0], measured([10.0, 20.0, 30.0])[0], seed=0)
    assert (found.difference, found.p) == (0.0, pytest.approx(1.0))
