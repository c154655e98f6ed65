"""A question to an answer: retrieve, generate, verify; as a stream, or collected."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from model_pipeline.domain import Answer, Citation, Draft, Generator, Passage, SearchResult, Turn
from rag_service.generate.extractive import declined
from rag_service.retrieve import Retriever, cleaned
from rag_service.verify import Verifier

# A follow-up leans on what was said before: it is short, or begins with what points back.
FOLLOW_UP_WORDS = 4
POINTS_BACK = re.compile(
    r"\s*(?:and|but|or|so|it|its|they|them|their|this|that|these|those|he|she|what about|how about|"
    r"why|why not|what else|which one|the (?:first|second|third|last|other|same))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class PassagesFound:
    passages: tuple[Passage, ...]
    complete: bool
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class Delta:
    text: str


@dataclass(frozen=True, slots=True)
class CitationsVerified:
    citations: tuple[Citation, ...]


@dataclass(frozen=True, slots=True)
class Done:
    answer: Answer


Event = PassagesFound | Delta | CitationsVerified | Done


class Answerer:
    def __init__(self, retriever: Retriever, generator: Generator, release_id: str) -> None:
        self._retriever = retriever
        self._generator = generator
        self._release_id = release_id

    async def answer(
        self,
        question: str,
        *,
        k: int = 5,
        collection: str | None = None,
        filter: Mapping[str, Any] | None = None,
        history: Sequence[Turn] = (),
    ) -> Answer:
        """The whole answer. Raises what Retriever.retrieve raises."""
        async for event in self.stream(
            question, k=k, collection=collection, filter=filter, history=history
        ):
            if isinstance(event, Done):
                return event.answer
        raise AssertionError("a stream ends with Done")

    async def stream(
        self,
        question: str,
        *,
        k: int = 5,
        collection: str | None = None,
        filter: Mapping[str, Any] | None = None,
        history: Sequence[Turn] = (),
    ) -> AsyncIterator[Event]:
        """PassagesFound, Deltas, CitationsVerified, Done. What a delta cites is verified."""
        started = time.perf_counter()
        asked = standalone(cleaned(question), history)
        found = await self._retriever.retrieve(asked, k=k, collection=collection, filter=filter)
        yield PassagesFound(found.passages, found.complete, found.scope)

        verifier = Verifier(found.passages)
        texts: list[str] = []
        gave_up = True
        verifying = 0.0
        generating = time.perf_counter()
        async for draft in self._drafts(asked, found, history):
            checking = time.perf_counter()
            text = verifier.check(draft)
            verifying += time.perf_counter() - checking
            gave_up = draft.declined
            if text:
                texts.append(text)
                yield Delta(text)
        if not gave_up and not verifier.citations:
            # Not one quote stood: what was said has no support, and is taken back.
            gave_up, texts = True, [declined(found.passages).text]
        generated = time.perf_counter()
        citations = tuple(verifier.citations)
        yield CitationsVerified(citations)
        yield Done(
            Answer(
                answer_id=uuid4(),
                answer="".join(texts).strip(),
                declined=gave_up,
                citations=citations,
                passages=found.passages,
                release_id=self._release_id,
                dropped_citations=verifier.dropped,
                complete=found.complete,
                timings_ms={
                    **{name: ms for name, ms in found.timings_ms.items() if name != "total"},
                    "generate": (generated - generating - verifying) * 1000,
                    "verify": verifying * 1000,
                    "total": (time.perf_counter() - started) * 1000,
                },
            )
        )

    async def _drafts(
        self, question: str, found: SearchResult, history: Sequence[Turn]
    ) -> AsyncIterator[Draft]:
        if not found.passages:
            yield declined(())
            return
        async for draft in self._generator.generate(question, found.passages, history):
            yield draft


def standalone(question: str, history: Sequence[Turn]) -> str:
    """A follow-up together with the question it follows; any other question as it is."""
    before = [turn.content for turn in history if turn.role == "user"]
    leans = len(question.split()) <= FOLLOW_UP_WORDS or POINTS_BACK.match(question)
    if not before or not leans:
        return question
    return f"{before[-1][:500]} {question}"
