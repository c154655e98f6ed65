"""A test set answered: bounded, timed, every failure by its name, and gone on with."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from model_pipeline.errors import InvalidInput, StoreUnavailable
from model_pipeline.evaluation.examples import MISSING, Example, Prediction, TestSet
from model_pipeline.evaluation.predictions import PredictionLog, prediction_log
from model_pipeline.evaluation.run import Answer, pairs, predict

SET = TestSet("five", tuple(Example(str(n), f"Question {n}?") for n in range(5)))


def run(
    folder: Path, answer: Answer, *, at_once: int = 1, timeout_s: float = 5
) -> list[Prediction]:
    async def asking(log: PredictionLog) -> list[Prediction]:
        return await predict(SET, answer, log, at_once=at_once, timeout_s=timeout_s,
                             progress=lambda done, of: told.append((done, of)))  # fmt: skip

    told: list[tuple[int, int]] = []
    with prediction_log(folder / "p.jsonl", {}, started_at="now") as log:
        found = asyncio.run(asking(log))
    assert told[-1] == (5, 5)
    return found


async def answered(example: Example) -> Prediction:
    await asyncio.sleep(0.01)
    return Prediction(example.example_id, f"To {example.question}")


def test_answers_come_in_the_sets_order_with_their_times(tmp_path: Path) -> None:
    found = run(tmp_path, answered, at_once=3)
    assert [one.example_id for one in found] == ["0", "1", "2", "3", "4"]
    assert all(one.latency_ms is not None and 9 < one.latency_ms < 5000 for one in found)
    assert [one.answer for one in found] == [f"To Question {n}?" for n in range(5)]


@pytest.mark.parametrize("at_once", [1, 3])
def test_no_more_are_under_way_than_allowed(tmp_path: Path, at_once: int) -> None:
    now = most = 0

    async def counting(example: Example) -> Prediction:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1
        return Prediction(example.example_id, "x")

    run(tmp_path, counting, at_once=at_once)
    assert most == at_once


def test_each_failure_is_kept_by_its_name_and_stops_nothing(tmp_path: Path) -> None:
    async def failing(example: Example) -> Prediction:
        match example.example_id:
            case "0":
                raise StoreUnavailable("The database is away: try again.")
            case "1":
                raise ZeroDivisionError("division by zero")
            case "2":
                await asyncio.sleep(5)
        return Prediction(example.example_id, "x")

    found = run(tmp_path, failing, timeout_s=0.2)
    assert [one.error for one in found] == [
        "The database does not answer: The database is away: try again.",
        "ZeroDivisionError: division by zero",
        "It took longer than 0.2 s.",
        None,
        None,
    ]


def test_what_is_answered_is_not_asked_again(tmp_path: Path) -> None:
    asked: list[str] = []

    async def stopping(example: Example) -> Prediction:
        if len(asked) == 3:
            raise KeyboardInterrupt
        asked.append(example.example_id)
        return Prediction(example.example_id, f"first {example.example_id}")

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stopping)
    assert asked == ["0", "1", "2"]

    async def going_on(example: Example) -> Prediction:
        asked.append(example.example_id)
        return Prediction(example.example_id, f"then {example.example_id}")

    found = run(tmp_path, going_on)
    assert asked == ["0", "1", "2", "3", "4"]
    assert [one.answer for one in found] == ["first 0", "first 1", "first 2", "then 3", "then 4"]
    assert run(tmp_path, going_on) == found
    assert len(asked) == 5


def test_pairs_name_what_is_missing_and_refuse_what_nobody_asked() -> None:
    made = [Prediction("0", "x"), Prediction("1", "商店九点开门，星期天整天不营业，请您周一再来。")]
    found = pairs(SET, made)
    assert [one.prediction.error for one in found] == [
        None, "The answer is in another language than Latin.", MISSING, MISSING, MISSING,
    ]  # fmt: skip
    with pytest.raises(InvalidInput, match="1 predictions are of examples that five does not have"):
        pairs(SET, [Prediction("9", "x")])
    with pytest.raises(InvalidInput, match="two predictions"):
        pairs(SET, [Prediction("0", "x"), Prediction("0", "y")])
