"""An embedder that embeds each text once, also from one run to the next."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_pipeline.domain import Embedder


class Remembered:
    """`embedder`, with its vectors in `folder`; `keep` writes those that are new."""

    def __init__(self, embedder: Embedder, folder: Path) -> None:
        self._embedder = embedder
        self._path = folder / f"{hashlib.sha256(embedder.name.encode()).hexdigest()[:16]}.npz"
        self._vectors: dict[bytes, NDArray[np.float32]] = {}
        if self._path.exists():
            with np.load(self._path) as kept:
                keys, vectors = kept["keys"], kept["vectors"]
            self._vectors = {key.tobytes(): one for key, one in zip(keys, vectors, strict=True)}

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

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        keys = [hashlib.sha256(text.encode("utf-8", "replace")).digest()[:16] for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._vectors}
        if new:
            found = self._embedder.embed(list(new.values()))
            self._vectors.update(zip(new, found, strict=True))
        empty = np.zeros((0, self.dimensions), np.float32)
        return np.stack([self._vectors[key] for key in keys]) if keys else empty

    def keep(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        keys = np.array([np.frombuffer(key, np.uint8) for key in self._vectors])
        np.savez(self._path, keys=keys, vectors=np.stack(list(self._vectors.values())))
