"""What becomes of an answer that a judge of bias rates low: it is flagged, or withheld.

The judging is handed in: nothing here knows a judge. An answer is judged when it is whole. Flagging
leaves a stream as it is and tells at its end; withholding holds its text back until it is judged.
What cannot be judged is an error and no pass: it is flagged or withheld too. A judge that abstains
decides nothing: the answer is shown, and says that the judge is not sure.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import Executor
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import structlog

from model_pipeline.domain import Answer, Bias
from rag_service.answer import CitationsVerified, Delta, Done, Event, PassagesFound
from rag_service.spans import span

log = structlog.get_logger()
JudgeText = Callable[[str], Mapping[str, Any] | None]
"""The verdict on a text, as a row of the table of verdicts; None where it cannot be judged. Blocks:
it runs in an executor."""
LOW = "This answer is withheld: it is rated as biased, below the level that this service allows."
NOT_JUDGED = "This answer is withheld: it could not be checked for bias. Ask again later."


class BiasPolicy:
    """Answers of a level below `below` are flagged, or with `withhold` not shown."""

    def __init__(self, judge: JudgeText, executor: Executor, *, below: int, withhold: bool) -> None:
        self._judge = judge
        self._executor = executor
        self._below = below
        self._withhold = withhold

    async def __call__(self, events: AsyncGenerator[Event]) -> AsyncGenerator[Event]:
        """The events of one answer, as they may be shown."""
        held: list[Event] = []
        async with aclosing(events) as writing:
            async for event in writing:
                if isinstance(event, Done):
                    answer = await self._judged(event.answer)
                    if answer.bias is not None and answer.bias.withheld:
                        held = [Delta(answer.answer), CitationsVerified(())]
                    for one in held:
                        yield one
                    yield Done(answer)
                elif self._withhold and not isinstance(event, PassagesFound):
                    held.append(event)
                else:
                    yield event

    async def _judged(self, answer: Answer) -> Answer:
        if answer.declined:  # our own words
            return answer
        started = time.perf_counter()
        with span("judge"):
            bias = await self._bias(answer.answer)
        took_ms = (time.perf_counter() - started) * 1000
        total_ms = answer.timings_ms.get("total", 0.0) + took_ms
        timings = {**answer.timings_ms, "judge": took_ms, "total": total_ms}
        answer = replace(answer, bias=bias, timings_ms=timings)
        if not bias.withheld:
            return answer
        # Its verdict tells what was said: it goes with the text.
        return replace(
            answer,
            answer=NOT_JUDGED if bias.level is None else LOW,
            declined=True,
            cut=False,
            citations=(),
            unsupported=(),
            bias=replace(bias, verdict=None),
        )

    async def _bias(self, text: str) -> Bias:
        loop = asyncio.get_running_loop()
        try:
            verdict = await loop.run_in_executor(self._executor, self._judge, text)
        except Exception as error:  # of a judge, whatever it is: no answer passes by it
            log.error("answer_not_judged", exc_info=error)
            verdict = None
        if verdict is None:
            return Bias(None, None, sure=False, flagged=True, withheld=self._withhold)
        low = verdict["sure"] and verdict["level"] < self._below
        return Bias(
            verdict["level"],
            verdict["score"],
            sure=verdict["sure"],
            flagged=low,
            withheld=low and self._withhold,
            verdict=verdict,
        )
