"""A question to passages: checked, embedded off the event loop, searched in one statement."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from model_pipeline.domain import Embedder, SearchMode, SearchResult
from model_pipeline.errors import EmbedderMismatch, InvalidInput, TooLarge, Unavailable
from rag_service.embed import embedded
from rag_service.spans import span

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_QUESTION = 8_000
MAX_K = 100
# Control characters, lone surrogates, and what reorders text without showing.
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufeff]")


class Store(Protocol):
    async def search(
        self,
        *,
        text: str,
        vector: NDArray[np.float32] | None,
        k: int,
        mode: SearchMode,
        collection: str | None,
        filter: Mapping[str, Any] | None,
        embedder: str | None,
    ) -> SearchResult: ...


class Retriever:
    """`executor` bounds how many embeddings run at once. `follow` opens the embedder that the store
    was switched to, in a thread; without it a switch is an EmbedderMismatch."""

    def __init__(
        self,
        embedder: Embedder,
        store: Store,
        executor: Executor,
        follow: Callable[[], Embedder] | None = None,
    ) -> None:
        self._embedder = embedder
        self._store = store
        self._executor = executor
        self._follow = follow

    async def retrieve(
        self,
        query: str,
        *,
        k: int = 10,
        mode: SearchMode = "hybrid",
        collection: str | None = None,
        filter: Mapping[str, Any] | None = None,
        diversity: float | None = None,
        words: Sequence[str] = (),
        context: Sequence[tuple[str, float]] = (),
    ) -> SearchResult:
        """The k passages nearest to `query`, best first.

        `words` are looked for beside its own; `context` are texts that pull its vector, each by its
        weight (see condense.Condensed). `diversity` in (0, 1] reorders by maximal marginal
        relevance. Raises InvalidInput, TooLarge, NotFound for an unknown collection,
        StoreUnavailable.
        """
        text = cleaned(query)
        if not 1 <= k <= MAX_K:
            raise InvalidInput(f"k is {k}: ask for 1 to {MAX_K} passages.")
        if diversity is not None and not 0 <= diversity <= 1:
            raise InvalidInput(f"diversity is {diversity}: give a number from 0 to 1.")
        started = time.perf_counter()
        spent = 0.0

        async def search(embedder: Embedder) -> tuple[NDArray[np.float32] | None, SearchResult]:
            nonlocal spent
            asked = time.perf_counter()
            vector = None
            if mode != "lexical" or diversity:
                vector = pulled(
                    await self._embed(embedder, [text, *(near for near, _ in context)]),
                    [weight for _, weight in context],
                )
            spent += time.perf_counter() - asked
            with span("retrieve", **{"db.system.name": "postgresql"}):
                return vector, await self._store.search(
                    text=" ".join((text, *words)),
                    vector=vector,
                    k=min(MAX_K, 3 * k) if diversity else k,
                    mode=mode,
                    collection=collection,
                    filter=filter,
                    embedder=embedder.name,
                )

        embedder = self._embedder
        try:
            vector, result = await search(embedder)
        except EmbedderMismatch:
            if self._follow is None:
                raise
            embedder = self._embedder = await asyncio.to_thread(self._follow)
            try:
                vector, result = await search(embedder)
            except EmbedderMismatch as error:
                raise Unavailable("The embedder is just being switched: ask again.") from error
        passages = result.passages
        if diversity and vector is not None and passages:
            vectors = await self._embed(embedder, [passage.content for passage in passages])
            order = maximal_marginal_relevance(vector, vectors, k, diversity)
            passages = tuple(passages[index] for index in order)
        total = (time.perf_counter() - started) * 1000
        timings = {"embed": spent * 1000, **result.timings_ms, "total": total}
        return replace(result, passages=passages, timings_ms=timings)

    async def _embed(self, embedder: Embedder, texts: list[str]) -> NDArray[np.float32]:
        return await embedded(embedder, self._executor, texts)


def cleaned(query: str) -> str:
    """`query` without what cannot be seen; raises where nothing is left, or it is too long."""
    if len(query) > MAX_QUESTION:
        raise TooLarge(
            f"The question has {len(query):,} characters: ask in at most {MAX_QUESTION:,}."
        )
    text = _INVISIBLE.sub(" ", query).strip()
    if not text:
        raise InvalidInput("The question is empty: ask something.")
    return text


def pulled(vectors: NDArray[np.float32], weights: Sequence[float]) -> NDArray[np.float32]:
    """The first row plus each other by its weight, [d], of unit length; `vectors` are [n, d]."""
    if not weights:
        return np.asarray(vectors[0])
    together = vectors[0] + np.asarray(weights, dtype=np.float32) @ vectors[1:]
    return np.asarray(together / np.linalg.norm(together), dtype=np.float32)


def maximal_marginal_relevance(
    query: NDArray[np.float32], vectors: NDArray[np.float32], k: int, diversity: float
) -> list[int]:
    """Indices of k rows, each near the query and unlike those before (Carbonell, Goldstein 1998).

    `query` is [d], `vectors` [n, d], all of unit length.
    """
    relevance = vectors @ query
    chosen: list[int] = []
    likeness = np.full(len(vectors), -1.0, dtype=np.float32)
    while len(chosen) < min(k, len(vectors)):
        score = (1 - diversity) * relevance - diversity * np.maximum(likeness, 0)
        score[chosen] = -np.inf
        best = int(score.argmax())
        chosen.append(best)
        likeness = np.maximum(likeness, vectors @ vectors[best])
    return chosen
