"""Rows of numbers kept on disk by the content they were made of."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from model_pipeline.evaluation.byte_cache import ByteCache

MAX_ROWS = 100_000  # some 30 MB


def key(*texts: str) -> bytes:
    """Of texts in their order; no two lists of texts share one."""
    digest = hashlib.blake2b(digest_size=20)
    for text in texts:
        encoded = text.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.digest()


class RowCache:
    """Rows of `width` numbers (float64, or what `dtype` says) by key, in a ByteCache."""

    def __init__(
        self, path: Path | None, *, width: int, max_rows: int = MAX_ROWS, dtype: str = "<f8"
    ) -> None:
        self._kept = ByteCache(path, max_rows=max_rows)
        self._dtype = np.dtype(dtype)
        self._bytes = width * self._dtype.itemsize

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._kept.__exit__(kind, error, trace)

    def get(self, keys: Sequence[bytes]) -> dict[bytes, NDArray[Any]]:
        """The rows there are."""
        found = self._kept.get(keys).items()
        whole = [(one, row) for one, row in found if len(row) == self._bytes]
        return {one: np.frombuffer(row, dtype=self._dtype) for one, row in whole}

    def put(self, keys: Sequence[bytes], rows: NDArray[Any]) -> None:
        """Keeps `rows` [n, width], and lets go of the oldest beyond the limit."""
        items = zip(keys, rows, strict=True)
        self._kept.put({one: row.astype(self._dtype).tobytes() for one, row in items})
