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
from collections.abc import AsyncGenerator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from model_pipeline.domain import Answer, Embedder, Turn
from model_pipeline.errors import EmbedderMismatch
from rag_service.answer import Answerer, Done, Event, PassagesFound
from rag_service.kept_answers import EXACTLY, Kept, KeptAnswers, Key
from rag_service.retrieve import cleaned

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Calibrated: benchmarks/README.md says how. Another embedder's cosines mean something else.
THRESHOLDS = {"onnx:all-MiniLM-L6-v2": 0.95}


class Scopes(Protocol):
    async def scope(self, collection: str | None, embedder: str) -> str | None: ...


class Remembering:
    """An embedder, for one request, that embeds the question once: for the cache and the search."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._single: dict[str, NDArray[np.float32]] = {}
        self.name, self.spec = embedder.name, embedder.spec
        self.dimensions, self.max_tokens = embedder.dimensions, embedder.max_tokens

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if len(texts) != 1:
            return self._embedder.embed(texts)
        if texts[0] not in self._single:
            self._single[texts[0]] = self._embedder.embed(texts)
        return self._single[texts[0]]

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._embedder.count_tokens(texts)


@dataclass(frozen=True, slots=True)
class _Asked:
    question: str
    k: int
    collection: str | None
    filter: Mapping[str, Any] | None
    history: Sequence[Turn]


class CachedAnswerer:
    """An Answerer that looks first at what is kept. For one request, as one caller: `scopes` tells
    what that caller's search reads, and the searches of `answerer` must tell it, too."""

    def __init__(
        self,
        answerer: Answerer,
        kept: KeptAnswers,
        scopes: Scopes,
        embedder: Remembering,
        executor: Executor,
        *,
        release_id: str,
        threshold: float | None = None,
    ) -> None:
        self._answerer = answerer
        self._kept = kept
        self._scopes = scopes
        self._embedder = embedder
        self._executor = executor
        self._release_id = release_id
        self._threshold = threshold or THRESHOLDS.get(embedder.spec, EXACTLY)

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
        key, found = await self._find(asked)
        if found is not None:
            return _again(found, started)
        if key is None:
            return await _last(self._anew(asked, None))
        # Of one question that many ask at once, one is worked out and the others wait for it; once
        # only, since it may come to nothing that is kept.
        place = (key, asked.question)
        if (first := self._kept.under_way.get(place)) is not None:
            await first.wait()
            if (found := self._kept.same(*place)) is not None:
                return _again(found, started)
            return await _last(self._anew(asked, key))
        done = self._kept.under_way[place] = asyncio.Event()
        try:
            return await _last(self._anew(asked, key))
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
        key, found = await self._find(asked)
        if found is not None:
            for event in found.events:
                yield event
            yield Done(_again(found, started))
            return
        async with aclosing(self._anew(asked, key)) as events:
            async for event in events:
                yield event

    async def _find(self, asked: _Asked) -> tuple[Key | None, Kept | None]:
        """What decides the answer, or None where it may not be kept; and one that was kept.

        One after the other: an embedding takes all cores, and is not needed for what was asked
        before in the same words.
        """
        if asked.history:  # a follow-up leans on what was said before
            return None, None
        key = await self._key(asked)
        if key is None:
            return None, None
        if (kept := self._kept.same(key, asked.question)) is not None:
            return key, kept
        if self._threshold > 1 or not self._kept.has(key):
            return key, None
        vector = await self._embed(asked.question)
        return key, self._kept.alike(key, asked.question, vector, self._threshold)

    async def _key(self, asked: _Asked) -> Key | None:
        try:
            scope = await self._scopes.scope(asked.collection, self._embedder.name)
        except EmbedderMismatch:  # the search follows the switch; the next request is its
            return None
        if scope is None:
            return None
        filter = json.dumps(asked.filter, sort_keys=True)
        return Key(scope, self._release_id, asked.k, filter)

    async def _anew(self, asked: _Asked, key: Key | None) -> AsyncGenerator[Event]:
        """From the documents; kept where the search saw just what the key says."""
        events: list[Event] = []
        seen = None
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
                if not isinstance(event, Done):
                    events.append(event)
                elif key is not None and seen == key.scope and _worth_keeping(event.answer):
                    vector = await self._embed(asked.question)
                    self._kept.keep(key, asked.question, vector, events, event.answer)
                yield event

    async def _embed(self, question: str) -> NDArray[np.float32]:
        """float32 of shape [d], unit length."""
        loop = asyncio.get_running_loop()
        vector: NDArray[np.float32] = (
            await loop.run_in_executor(self._executor, self._embedder.embed, [question])
        )[0]
        return vector


def _worth_keeping(answer: Answer) -> bool:
    """What fell short is tried anew each time: asked in other words, it may be found."""
    return (
        not answer.declined
        and answer.complete
        and answer.dropped_citations == 0
        and answer.fallback is None
    )


def _again(kept: Kept, started: float) -> Answer:
    """A serving of its own: what is noted or said of it is not of the first one."""
    elapsed = (time.perf_counter() - started) * 1000
    timings = {"cache": elapsed, "total": elapsed}
    return replace(kept.answer, answer_id=uuid4(), cached=True, timings_ms=timings)


async def _last(events: AsyncGenerator[Event]) -> Answer:
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Done):
                return event.answer
    raise AssertionError("a stream ends with Done")
