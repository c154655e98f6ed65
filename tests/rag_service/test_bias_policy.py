"""What becomes of an answer that a judge rates low, whole and as a stream."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from model_pipeline.domain import Answer, Claim, Draft, Passage, Turn, Wording
from rag_service.answer import Answerer, CitationsVerified, Delta, Done, Event, PassagesFound
from rag_service.bias_policy import LOW, NOT_JUDGED, BiasPolicy
from rag_service.generate.extractive import declined
from rag_service.retrieve import Retriever
from tests.rag_service.conftest import CONTENT, FakeEmbedder, FakeStore

NICE, RUDE, ODD = "Once. [1]", "Idiots ask that. [1]", "Maybe an idiot. [1]"


def judge(text: str) -> Mapping[str, Any] | None:
    """By one word: a rude one is of level 1, a doubted one not sure, an empty one unreadable."""
    assert threading.current_thread().name.startswith("judge"), "never on the event loop"
    if "unreadable" in text:
        return None
    if "broken" in text:
        raise RuntimeError("the judge broke")
    level = 1 if "idiot" in text.lower() else 5
    return {"level": level, "score": float(level), "sure": "Maybe" not in text, "signature": "w"}


class Says:
    """Writes these pieces, each with a quote that stands."""

    name = "says"

    def __init__(self, *pieces: str) -> None:
        self._pieces = pieces

    def worded(self, wording: Wording) -> Says:
        return Says(*self._pieces, "Shorter.")

    async def generate(
        self, question: str, passages: Sequence[Passage], history: Sequence[Turn]
    ) -> AsyncGenerator[Draft]:
        if not self._pieces:
            yield declined(passages)
        for piece in self._pieces:
            yield Draft(piece, (Claim(1, 0, CONTENT),) if "[1]" in piece else ())


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1, thread_name_prefix="judge") as executor:
        yield executor


def answerer(threads: ThreadPoolExecutor, *pieces: str, withhold: bool, below: int = 3) -> Answerer:
    policy = BiasPolicy(judge, threads, below=below, withhold=withhold)
    retriever = Retriever(FakeEmbedder(), FakeStore(), threads)
    return Answerer(retriever, Says(*pieces), "r", policy=policy)


def whole(made: Answerer) -> Answer:
    return asyncio.run(made.answer("What is it?"))


def streamed(made: Answerer) -> list[Event]:
    async def collect() -> list[Event]:
        return [event async for event in made.stream("What is it?")]

    return asyncio.run(collect())


@pytest.mark.parametrize("withhold", [False, True])
def test_a_fair_answer_passes_with_its_verdict(threads: ThreadPoolExecutor, withhold: bool) -> None:
    answer = whole(answerer(threads, NICE, withhold=withhold))
    assert answer.answer == NICE and answer.citations and not answer.declined
    bias = answer.bias
    assert bias is not None
    assert (bias.level, bias.sure, bias.flagged, bias.withheld) == (5, True, False, False)
    assert bias.verdict == judge_in(threads, NICE)
    assert answer.timings_ms["judge"] > 0
    assert answer.timings_ms["total"] > answer.timings_ms["judge"]


def judge_in(threads: ThreadPoolExecutor, text: str) -> Mapping[str, Any] | None:
    return threads.submit(judge, text).result()


def test_a_low_answer_is_flagged_and_shown(threads: ThreadPoolExecutor) -> None:
    answer = whole(answerer(threads, RUDE, withhold=False))
    assert answer.answer == RUDE and answer.citations and not answer.declined
    assert answer.bias is not None and answer.bias.flagged and not answer.bias.withheld


def test_a_low_answer_is_withheld_with_its_reason(threads: ThreadPoolExecutor) -> None:
    answer = whole(answerer(threads, RUDE, withhold=True))
    assert (answer.answer, answer.declined, answer.citations) == (LOW, True, ())
    assert answer.passages
    assert answer.bias is not None and answer.bias.flagged and answer.bias.withheld
    assert answer.bias.verdict is None, "it tells what was said"
    assert answer.bias.level == 1


@pytest.mark.parametrize("why", ["unreadable", "broken"])
def test_what_cannot_be_judged_is_no_pass(threads: ThreadPoolExecutor, why: str) -> None:
    text = f"This is {why}. [1]"
    answer = whole(answerer(threads, text, withhold=True))
    assert (answer.answer, answer.declined) == (NOT_JUDGED, True)
    assert answer.bias is not None and answer.bias.level is None and answer.bias.withheld
    shown = whole(answerer(threads, text, withhold=False))
    assert shown.answer == text
    assert shown.bias is not None and shown.bias.flagged and not shown.bias.withheld


def test_a_judge_that_abstains_decides_nothing(threads: ThreadPoolExecutor) -> None:
    answer = whole(answerer(threads, ODD, withhold=True))
    assert answer.answer == ODD
    assert answer.bias is not None and not answer.bias.sure and not answer.bias.flagged


def test_the_level_is_the_lowest_that_passes(threads: ThreadPoolExecutor) -> None:
    assert whole(answerer(threads, NICE, withhold=True, below=5)).answer == NICE
    assert whole(answerer(threads, RUDE, withhold=True, below=2)).declined


def test_what_is_declined_is_not_judged(threads: ThreadPoolExecutor) -> None:
    answer = whole(answerer(threads, withhold=True))
    assert answer.declined and answer.bias is None and "judge" not in answer.timings_ms


def test_a_withheld_stream_shows_nothing_before_its_verdict(threads: ThreadPoolExecutor) -> None:
    first, *rest = streamed(answerer(threads, "Fine so far. [1] ", RUDE, withhold=True))
    assert isinstance(first, PassagesFound)
    assert [type(event) for event in rest] == [Delta, CitationsVerified, Done]
    assert rest[0] == Delta(LOW) and rest[1] == CitationsVerified(())
    assert "diot" not in repr(rest[-1])


def test_a_stream_that_passes_is_the_same_as_without_a_policy(threads: ThreadPoolExecutor) -> None:
    with_policy = streamed(answerer(threads, "One. [1] ", "Two. [1]", withhold=True))
    retriever = Retriever(FakeEmbedder(), FakeStore(), threads)
    without = streamed(Answerer(retriever, Says("One. [1] ", "Two. [1]"), "r"))
    assert with_policy[:-1] == without[:-1]
    assert with_policy[-1].answer.answer == without[-1].answer.answer  # type: ignore[union-attr]


def test_flagging_leaves_the_stream_as_it_is(threads: ThreadPoolExecutor) -> None:
    """The first piece is there before the last one is written."""

    async def first_delta() -> Event:
        made = answerer(threads, NICE, RUDE, withhold=False)
        events = made.stream("What is it?")
        async for event in events:
            if isinstance(event, Delta):
                await events.aclose()
                return event
        raise AssertionError

    assert asyncio.run(first_delta()) == Delta(NICE)


def test_another_wording_is_judged_too(threads: ThreadPoolExecutor) -> None:
    worded = answerer(threads, RUDE, withhold=True).worded(Wording(max_tokens=5))
    assert whole(worded).answer == LOW


def test_a_reader_who_leaves_stops_the_work(threads: ThreadPoolExecutor) -> None:
    closed = []

    class Endless(Says):
        async def generate(
            self, question: str, passages: Sequence[Passage], history: Sequence[Turn]
        ) -> AsyncGenerator[Draft]:
            try:
                while True:
                    yield Draft("More. [1] ", (Claim(1, 0, CONTENT),))
                    await asyncio.sleep(0)
            finally:
                closed.append(True)

    async def leave() -> None:
        retriever = Retriever(FakeEmbedder(), FakeStore(), threads)
        policy = BiasPolicy(judge, threads, below=3, withhold=True)
        events = Answerer(retriever, Endless(), "r", policy=policy).stream("What is it?")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                async for _ in events:
                    pass
        await events.aclose()

    asyncio.run(leave())
    assert closed
