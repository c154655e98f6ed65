"""An embedder whose vectors are kept on disk, so that nothing is embedded twice by an evaluation.

To embed is nearly all that scoring costs. Two releases answer the same questions, have the same
references and find the same passages; and an evaluation that was killed goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_pipeline.domain import Embedder
from model_pipeline.evaluation.row_cache import RowCache, key

MAX_ROWS = 200_000  # of 384 dimensions some 350 MB
AT_ONCE = 500  # texts that a killed run may have to embed again
Vectors = NDArray[np.float32]
Progress = Callable[[int, int], None]


class KeptVectors:
    """`embedder`, with its vectors kept in `cache`. With `alone` it is given each text by itself,
    on as many `threads`: the int8 graph scales the activations of a batch together, and without
    this a figure would change in its fourth digit with what else is scored. `progress` is told how
    many texts are done, and of how many."""

    def __init__(
        self,
        embedder: Embedder,
        *,
        cache: Path | None,
        alone: bool,
        threads: int = 1,
        progress: Progress = lambda done, of: None,
    ) -> None:
        self._embedder = embedder
        self._cache = cache
        self._alone = alone
        self._threads = threads
        self._progress = progress

    @property
    def name(self) -> str:
        return self._embedder.name

    @property
    def spec(self) -> str:
        return self._embedder.spec

    @property
    def dimensions(self) -> int:
        return self._embedder.dimensions

    @property
    def max_tokens(self) -> int:
        return self._embedder.max_tokens

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._embedder.count_tokens(texts)

    def embed(self, texts: Sequence[str]) -> Vectors:
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        with (
            RowCache(self._cache, width=self.dimensions, max_rows=MAX_ROWS, dtype="<f4") as kept,
            ThreadPoolExecutor(self._threads, thread_name_prefix="embed-alone") as pool,
        ):
            for start in range(0, len(texts), AT_ONCE):
                some = texts[start : start + AT_ONCE]
                vectors[start : start + len(some)] = self._some(some, kept, pool)
                self._progress(start + len(some), len(texts))
        return vectors

    def _some(self, texts: Sequence[str], kept: RowCache, pool: ThreadPoolExecutor) -> Vectors:
        keys = [key(self.name, text) for text in texts]
        known = kept.get(keys)
        missing = [text for one, text in zip(keys, texts, strict=True) if one not in known]
        made = self._made(list(dict.fromkeys(missing)), pool)
        keys_made = [key(self.name, text) for text in made]
        if made:
            kept.put(keys_made, np.stack(list(made.values())))
        known |= dict(zip(keys_made, made.values(), strict=True))
        return np.stack([known[one] for one in keys])

    def _made(self, texts: list[str], pool: ThreadPoolExecutor) -> dict[str, Vectors]:
        if self._alone:
            found = [one[0] for one in pool.map(self._embedder.embed, ([one] for one in texts))]
        else:
            found = list(self._embedder.embed(texts)) if texts else []
        return dict(zip(texts, found, strict=True))
