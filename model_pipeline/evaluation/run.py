"""Every example of a test set answered by a release: bounded, timed, and kept as it comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from model_pipeline.errors import PromptlyError
from model_pipeline.evaluation.examples import Example, Pair, Prediction, TestSet, paired
from model_pipeline.evaluation.language import in_language
from model_pipeline.evaluation.predictions import PredictionLog

Answer = Callable[[Example], Awaitable[Prediction]]
"""One example to what was answered; whatever it raises is that example's failure."""
Progress = Callable[[int, int], None]
"""How many examples are answered, of how many."""


async def predict(
    test_set: TestSet,
    answer: Answer,
    log: PredictionLog,
    *,
    at_once: int = 1,
    timeout_s: float = 60.0,
    progress: Progress = lambda done, of: None,
) -> list[Prediction]:
    """In the test set's order; examples that `log` has are not asked again.

    `at_once` examples are under way at a time: more than one share the machine, and their latencies
    are those of a busy one.
    """
    waiting = [one for one in test_set.examples if one.example_id not in log.done]
    total = len(test_set.examples)
    progress(total - len(waiting), total)
    left = iter(waiting)

    async def work() -> None:
        for example in left:
            log.add(await _timed(example, answer, timeout_s))
            progress(len(log.done), total)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(at_once, len(waiting))):
            group.create_task(work())
    return [log.done[example.example_id] for example in test_set.examples]


async def _timed(example: Example, answer: Answer, timeout_s: float) -> Prediction:
    started = time.perf_counter()
    try:
        async with asyncio.timeout(timeout_s):
            found = await answer(example)
    except TimeoutError:
        return Prediction(example.example_id, error=f"It took longer than {timeout_s:g} s.")
    except PromptlyError as error:
        return Prediction(example.example_id, error=f"{error.title}: {error.message}")
    except Exception as error:  # a release that breaks has failed this example, not the evaluation
        return Prediction(example.example_id, error=f"{type(error).__name__}: {error}")
    elapsed = (time.perf_counter() - started) * 1000
    return replace(found, example_id=example.example_id, latency_ms=round(elapsed, 3))


def pairs(test_set: TestSet, predictions: list[Prediction]) -> list[Pair]:
    """What metrics see: answers in a wrong language are failures by that name. Raises what `paired`
    raises."""
    return [
        Pair(one.example, in_language(one.example, one.prediction))
        for one in paired(test_set, predictions)
    ]
