"""A question to an answer: retrieve, generate, verify; as a stream, or collected."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from model_pipeline.domain import (
    Answer,
    Citation,
    Draft,
    Generator,
    Passage,
    SearchResult,
    Span,
    Turn,
    Wording,
)
from rag_service.condense import Condense, by_rule
from rag_service.generate.extractive import declined
from rag_service.retrieve import Retriever, cleaned
from rag_service.spans import begin, failed
from rag_service.verify import Verifier


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
Policy = Callable[[AsyncGenerator[Event]], AsyncGenerator[Event]]
"""What the events of an answer go through before they are shown."""


class Answerer:
    def __init__(
        self,
        retriever: Retriever,
        generator: Generator,
        release_id: str,
        condense: Condense = by_rule,
        policy: Policy | None = None,
    ) -> None:
        self._condense = condense
        self._policy = policy
        self._retriever = retriever
        self._generator = generator
        self._release_id = release_id

    def worded(self, wording: Wording) -> Answerer:
        """The same, but that its model writes like that; itself where that changes nothing."""
        generator = self._generator.worded(wording)
        if generator is self._generator:
            return self
        release_id = f"{self._release_id}/{wording.name}"
        return Answerer(self._retriever, generator, release_id, self._condense, self._policy)

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

    def stream(
        self,
        question: str,
        *,
        k: int = 5,
        collection: str | None = None,
        filter: Mapping[str, Any] | None = None,
        history: Sequence[Turn] = (),
    ) -> AsyncGenerator[Event]:
        """PassagesFound, Deltas, CitationsVerified, Done. What a delta cites is verified."""
        events = self._stream(question, k, collection, filter, history)
        return events if self._policy is None else self._policy(events)

    async def _stream(
        self,
        question: str,
        k: int,
        collection: str | None,
        filter: Mapping[str, Any] | None,
        history: Sequence[Turn],
    ) -> AsyncGenerator[Event]:
        started = time.perf_counter()
        asked = await self._condense(cleaned(question), history)
        condensed = time.perf_counter()
        found = await self._retriever.retrieve(
            asked.question,
            k=k,
            collection=collection,
            filter=filter,
            words=asked.words,
            context=asked.context,
        )
        yield PassagesFound(found.passages, found.complete, found.scope)

        verifier = Verifier(found.passages)
        written = _Written()
        fallback: str | None = None
        gave_up, cut = True, False
        verifying = 0.0
        generating = time.perf_counter()
        generation = begin("generate")
        try:
            # Closed with this: a model stops writing as soon as the reader has left.
            async with aclosing(self._drafts(asked.text, found, history)) as drafts:
                async for draft in drafts:
                    checking = time.perf_counter()
                    text = verifier.check(draft)
                    verifying += time.perf_counter() - checking
                    gave_up, cut = draft.declined, cut or draft.cut
                    fallback = fallback or draft.fallback
                    written.add(text, unsupported=draft.unsupported)
                    # Until the first quote stands nothing is shown: it might be taken back.
                    if (gave_up or verifier.citations) and (fresh := written.unsent()):
                        yield Delta(fresh)
        except Exception as error:
            failed(generation, error)
            raise
        finally:
            generation.end()
        # Done draft by draft; told as one.
        begin("verify", at_ns=time.time_ns() - int(verifying * 1e9)).end()
        if not gave_up and not verifier.citations:
            # Not one quote stood: what was said has no support.
            gave_up, written = True, _Written()
            written.add(declined(found.passages).text)
            yield Delta(written.unsent())
        generated = time.perf_counter()
        citations = tuple(verifier.citations)
        yield CitationsVerified(citations)
        yield Done(
            Answer(
                answer_id=uuid4(),
                answer=written.text,
                declined=gave_up,
                citations=citations,
                passages=found.passages,
                release_id=self._release_id,
                dropped_citations=verifier.dropped,
                unsupported=tuple(written.unsupported),
                fallback=fallback,
                complete=found.complete,
                cut=cut and not gave_up,
                timings_ms={
                    **({"condense": (condensed - started) * 1000} if history else {}),
                    **{name: ms for name, ms in found.timings_ms.items() if name != "total"},
                    "generate": (generated - generating - verifying) * 1000,
                    "verify": verifying * 1000,
                    "total": (time.perf_counter() - started) * 1000,
                },
            )
        )

    async def _drafts(
        self, question: str, found: SearchResult, history: Sequence[Turn]
    ) -> AsyncGenerator[Draft]:
        if not found.passages:
            yield declined(())
            return
        async with aclosing(self._generator.generate(question, found.passages, history)) as drafts:
            async for draft in drafts:
                yield draft


class _Written:
    """An answer as it grows, without white space at either end."""

    def __init__(self) -> None:
        self.text = ""
        self.unsupported: list[Span] = []
        self._gap = ""
        self._sent = 0

    def add(self, text: str, *, unsupported: bool = False) -> None:
        body = text.strip()
        if not body:
            self._gap += text
            return
        at = text.index(body)
        if self.text:
            self.text += self._gap + text[:at]
        if unsupported:
            self.unsupported.append(Span(len(self.text), len(self.text) + len(body)))
        self.text += body
        self._gap = text[at + len(body) :]

    def unsent(self) -> str:
        fresh = self.text[self._sent :]
        self._sent = len(self.text)
        return fresh
