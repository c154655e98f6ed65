"""A request's texts to vectors: off the event loop, and its question once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from model_pipeline.domain import Embedder
from rag_service.spans import span

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Remembering:
    """An embedder, for one request, that embeds the question once: for the cache, the search and
    the generator."""

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

    def remembered(self, texts: Sequence[str]) -> NDArray[np.float32] | None:
        return self._single.get(texts[0]) if len(texts) == 1 else None

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._embedder.count_tokens(texts)


async def embedded(
    embedder: Embedder, executor: Executor, texts: Sequence[str]
) -> NDArray[np.float32]:
    """float32 of shape [len(texts), dimensions]; at once where the embedder remembers them."""
    if isinstance(embedder, Remembering) and (known := embedder.remembered(texts)) is not None:
        return known
    with span("embed"):
        return await asyncio.get_running_loop().run_in_executor(executor, embedder.embed, texts)
