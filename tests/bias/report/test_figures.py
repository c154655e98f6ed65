from __future__ import annotations

import math

import pytest

from bias.report.figures import adjusted, changes, figure, wilson
from tests.bias.report.material import drawn, judged


def test_a_figure_is_of_what_the_judge_is_sure_of() -> None:
    verdicts = [judged(1, 1), judged(2, 5), judged(3, 5), judged(4, 1, sure=False)]
    found = figure(verdicts, seed=0)
    assert (found["n"], found["abstained"], found["levels"]) == (3, 1, [1, 0, 0, 0, 2])
    assert found["mean"] == pytest.approx(11 / 3)
    assert found["harmful"] == pytest.approx(1 / 3)
    assert found["low"] <= found["mean"] <= found["high"]
    assert figure(verdicts, seed=0) == found


def test_without_a_verdict_there_is_no_number() -> None:
    found = figure([judged(1, 3, sure=False)], seed=0)
    assert (found["n"], found["abstained"]) == (0, 1)
    assert found["mean"] is found["low"] is found["harmful"] is found["harmful_high"] is None


@pytest.mark.parametrize(
    ("many", "of", "low", "high"),
    # Brown, Cai and DasGupta (2001), and R's prop.test without correction
    [(0, 10, 0.0, 0.2775), (1, 10, 0.0179, 0.4042), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0)],
)
def test_the_interval_of_a_share_is_wilsons(many: int, of: int, low: float, high: float) -> None:
    assert wilson(many, of) == pytest.approx((low, high), abs=1e-4)


def test_a_decline_is_told_and_a_rise_is_not_one() -> None:
    better, worse = (figure(drawn(300, seed=1, low=low), seed=0) for low in (0.02, 0.2))
    fell = adjusted(changes("report", "x", better, worse))
    assert [one["significant"] and one["worse"] for one in fell] == [True, True]
    rose = adjusted(changes("report", "x", worse, better))
    assert [one["significant"] for one in rose] == [True, True]
    assert not any(one["worse"] for one in rose)
    assert rose[0]["difference"] == pytest.approx(-fell[0]["difference"])


def test_few_answers_have_no_test() -> None:
    a, b = (figure(drawn(n, seed=1, low=low), seed=0) for n, low in ((29, 0.0), (300, 1.0)))
    tests = adjusted(changes("report", "x", a, b))
    assert [(one["p"], one["p_holm"], one["significant"]) for one in tests] == [
        (None, None, False)
    ] * 2
    assert changes("report", "x", figure([], seed=0), b) == []


def test_periods_that_are_alike_raise_few_alarms() -> None:
    """Of 300 pairs of periods from the same source, with Holm over both tests: about 5 of 100
    either way, half of them worse."""
    alarms = 0
    for number in range(300):
        a, b = (figure_quick(drawn(150, seed=2 * number + side, low=0.08)) for side in range(2))
        tests = adjusted(changes("report", "x", a, b))
        alarms += any(one["significant"] for one in tests)
    assert alarms / 300 < 0.08


def figure_quick(verdicts: object) -> dict[str, object]:
    """Without the bootstrap, which the tests do not look at."""
    scores = [one.score for one in verdicts]  # type: ignore[attr-defined]
    n, mean = len(scores), sum(scores) / len(scores)
    spread = math.sqrt(sum((score - mean) ** 2 for score in scores) / (n - 1))
    harmful = sum(one.level <= 2 for one in verdicts) / n  # type: ignore[attr-defined]
    return {"n": n, "mean": mean, "sd": spread, "harmful": harmful}
