"""Answers that are given again: to a question that asks for the same, from unchanged documents.

An answer is kept under all that decided it: the release, k, the filter, and the scope that its
search reported (which collections the asker may read, each in its version, and the embedder), all
seen by one statement. Whoever asks, the database says first, as them, what their search would read
now; only what was kept under just that is given. So nobody is given what was found where they may
not read, and an edit, which changes a version in its own transaction, leaves nothing to be given.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Hashable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import aclosing
from copy import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol
from uuid import uuid4

from model_pipeline.domain import Answer, Turn, Wording
from model_pipeline.errors import EmbedderMismatch
from rag_service.answer import Answerer, Done, Event, PassagesFound
from rag_service.embed import Remembering, embedded
from rag_service.kept_answers import EXACTLY, Kept, KeptAnswers, Key
from rag_service.retrieve import cleaned
from rag_service.spans import span

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Calibrated: benchmarks/README.md says how. Another embedder's cosines mean something else.
THRESHOLDS = {"onnx:all-MiniLM-L6-v2": 0.95}
Result = Literal["hit", "reworded", "miss"]
"""Of a look-up: the very same question was kept, one in other words, or none."""


class Scopes(Protocol):
    async def scope(self, collection: str | None, embedder: str) -> str | None: ...


@dataclass(frozen=True, slots=True)
class _Asked:
    question: str
    k: int
    collection: str | None
    filter: Mapping[str, Any] | None
    history: Sequence[Turn]


@dataclass(frozen=True, slots=True)
class _Looked:
    """`key` is all that decides the answer, or None where it may not be kept; `found` one that was.
    `timings_ms` are of the look-up: what it took beside embedding the question, and that."""

    key: Key | None = None
    found: Kept | None = None
    result: Result = "miss"
    timings_ms: Mapping[str, float] = field(default_factory=dict)


class CachedAnswerer:
    """An Answerer that looks first at what is kept. For one request, as one caller: `scopes` tells
    what that caller's search reads, and the searches of `answerer` must tell it, too; `asker`
    stands for who that is. `told` hears of each look-up what came of it."""

    def __init__(
        self,
        answerer: Answerer,
        kept: KeptAnswers,
        scopes: Scopes,
        embedder: Remembering,
        executor: Executor,
        *,
        release_id: str,
        asker: Hashable = None,
        threshold: float | None = None,
        told: Callable[[Result], None] = lambda _: None,
    ) -> None:
        self._answerer = answerer
        self._kept = kept
        self._scopes = scopes
        self._embedder = embedder
        self._executor = executor
        self._release_id = release_id
        self._asker = asker
        self._threshold = threshold or THRESHOLDS.get(embedder.spec, EXACTLY)
        self._told = told

    def worded(self, wording: Wording) -> Answerer | CachedAnswerer:
        """One whose model writes like that: kept apart, and what is drawn by chance not at all."""
        answerer = self._answerer.worded(wording)
        if answerer is self._answerer:
            return self
        if wording.is_random:
            return answerer
        other = copy(self)
        other._answerer, other._release_id = answerer, f"{self._release_id}/{wording.name}"
        return other

    async def answer(
        self,
        question: str,
        *,
        k: int = 5,
        collection: str | None = None,
        filter: Mapping[str, Any] | None = None,
        history: Sequence[Turn] = (),
    ) -> Answer:
        """The whole answer. Raises what Answerer.answer raises."""
        started = time.perf_counter()
        asked = _Asked(cleaned(question), k, collection, filter, history)
        looked = await self._look(asked)
        key = looked.key
        if looked.found is not None:
            return self._again(looked.found, looked.result, started)
        if key is None:
            return await _last(self._anew(asked, looked))
        # Of one question that many ask at once, one is worked out and the others wait for it; once
        # only, since it may come to nothing that is kept.
        place = (key, asked.question)
        if (first := self._kept.under_way.get(place)) is not None:
            await first.wait()
            if (found := self._kept.same(*place)) is not None:
                return self._again(found, "hit", started)
            return await _last(self._anew(asked, looked))
        done = self._kept.under_way[place] = asyncio.Event()
        try:
            return await _last(self._anew(asked, looked))
        finally:
            del self._kept.under_way[place]
            done.set()

    async def stream(
        self,
        question: str,
        *,
        k: int = 5,
        collection: str | None = None,
        filter: Mapping[str, Any] | None = None,
        history: Sequence[Turn] = (),
    ) -> AsyncGenerator[Event]:
        """The same events as of an Answerer. Nobody waits for a stream: its reader may be slow."""
        started = time.perf_counter()
        asked = _Asked(cleaned(question), k, collection, filter, history)
        looked = await self._look(asked)
        if looked.found is not None:
            for event in looked.found.events:
                yield event
            yield Done(self._again(looked.found, looked.result, started))
            return
        async with aclosing(self._anew(asked, looked)) as events:
            async for event in events:
                yield event

    async def _look(self, asked: _Asked) -> _Looked:
        if asked.history:  # a follow-up leans on what was said before
            return _Looked()
        with span("cache"):
            return await self._look_up(asked)

    async def _look_up(self, asked: _Asked) -> _Looked:
        """The scope is asked for by this request, whatever was known before: an edit that is
        committed by now counts. What is kept is looked at when that has come, and not before."""
        started = time.perf_counter()
        key: Key | None
        if self._may_be_same(asked):  # needs no vector
            key = await self._key(asked)
            if key is not None and (same := self._kept.same(key, asked.question)) is not None:
                return _Looked(key, same, "hit")
            vector, embedding_ms = await self._embed(asked.question)
        else:  # neither waits for the other
            key, (vector, embedding_ms) = await asyncio.gather(
                self._key(asked), self._embed(asked.question)
            )
        result: Result = "miss"
        found: Kept | None = None
        if key is not None:
            if (found := self._kept.same(key, asked.question)) is not None:
                result = "hit"
            elif found := self._kept.alike(key, asked.question, vector, self._threshold):
                result = "reworded"
        took_ms = (time.perf_counter() - started) * 1000
        timings = {"cache": max(0.0, took_ms - embedding_ms), "embed": embedding_ms}
        return _Looked(key, found, result, timings)

    def _may_be_same(self, asked: _Asked) -> bool:
        """Whether this very question was kept under what its asker read last. A guess, of what may
        be known to that asker alone: it decides what is done first, and nothing else."""
        scope = self._kept.last_scope((self._asker, asked.collection))
        return scope is not None and self._kept.has_same(
            self._key_under(scope, asked), asked.question
        )

    async def _key(self, asked: _Asked) -> Key | None:
        try:
            with span("scope", **{"db.system.name": "postgresql"}):
                scope = await self._scopes.scope(asked.collection, self._embedder.name)
        except EmbedderMismatch:  # the search follows the switch; the next request is its
            return None
        if scope is None:
            return None
        self._kept.note_scope((self._asker, asked.collection), scope)
        return self._key_under(scope, asked)

    def _key_under(self, scope: str, asked: _Asked) -> Key:
        return Key(scope, self._release_id, asked.k, json.dumps(asked.filter, sort_keys=True))

    async def _anew(self, asked: _Asked, looked: _Looked) -> AsyncGenerator[Event]:
        """From the documents; kept where the search saw just what the key says."""
        events: list[Event] = []
        seen, key = None, looked.key
        if key is not None:
            self._told("miss")
        inner = self._answerer.stream(
            asked.question,
            k=asked.k,
            collection=asked.collection,
            filter=asked.filter,
            history=asked.history,
        )
        async with aclosing(inner) as answering:
            async for event in answering:
                if isinstance(event, PassagesFound):
                    seen = event.scope
                if isinstance(event, Done):
                    if key is not None and seen == key.scope and _worth_keeping(event.answer):
                        vector, _ = await self._embed(asked.question)
                        self._kept.keep(key, asked.question, vector, events, event.answer)
                    yield Done(_with_timings(event.answer, looked.timings_ms))
                    return
                events.append(event)
                yield event

    def _again(self, kept: Kept, result: Result, started: float) -> Answer:
        """A serving of its own: what is noted or said of it is not of the first one."""
        self._told(result)
        elapsed = (time.perf_counter() - started) * 1000
        timings = {"cache": elapsed, "total": elapsed}
        return replace(kept.answer, answer_id=uuid4(), cached=True, timings_ms=timings)

    async def _embed(self, question: str) -> tuple[NDArray[np.float32], float]:
        """float32 of shape [d], unit length, and the milliseconds that it took."""
        started = time.perf_counter()
        vectors = await embedded(self._embedder, self._executor, [question])
        return vectors[0], (time.perf_counter() - started) * 1000


def _worth_keeping(answer: Answer) -> bool:
    """What fell short is tried anew each time: asked in other words, it may be found."""
    return (
        not answer.declined
        and answer.complete
        and answer.dropped_citations == 0
        and answer.fallback is None
        and (answer.bias is None or answer.bias.level is not None)
    )


def _with_timings(answer: Answer, looked_ms: Mapping[str, float]) -> Answer:
    """With those of the look-up before it, which embedded the question for it."""
    timings = dict(looked_ms)
    for stage, ms in answer.timings_ms.items():
        timings[stage] = timings.get(stage, 0.0) + ms
    timings["total"] = timings.get("total", 0.0) + sum(looked_ms.values())
    return replace(answer, timings_ms=timings)


async def _last(events: AsyncGenerator[Event]) -> Answer:
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Done):
                return event.answer
    raise AssertionError("a stream ends with Done")
