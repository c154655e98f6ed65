"""Any model that sentence-transformers loads, on a GPU where there is one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_pipeline.errors import ConfigurationError


class SentenceTransformersEmbedder:
    """Thread-safe. `model` is a Hub name or a folder; `device` is chosen by the library where it is
    None."""

    def __init__(
        self, model: str, *, revision: str | None = None, device: str | None = None
    ) -> None:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise ConfigurationError(
                "The embedder 'sentence-transformers' is not installed: "
                "`pip install 'promptly-rag[torch]'`."
            ) from error
        try:
            self._model: Any = SentenceTransformer(model, revision=revision, device=device)
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ConfigurationError(
                f"The embedding model {model!r} cannot be loaded: {reason}"
            ) from error
        # One of its own to count with: a tokenizer fails where its settings change while another
        # thread uses it. The model's are set by the first text, and stay.
        self._counting: Any = copy.deepcopy(self._model.tokenizer)
        self.embed([""])
        self._name = f"sentence-transformers:{model}" + (f"@{revision}" if revision else "")

    @property
    def name(self) -> str:
        return self._name

    @property
    def spec(self) -> str:
        return self._name

    @property
    def dimensions(self) -> int:
        return int(self._model.get_embedding_dimension())

    @property
    def max_tokens(self) -> int:
        return int(self._model.max_seq_length)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if not texts:
            return np.empty((0, self.dimensions), dtype=np.float32)
        vectors = self._model.encode(
            [text.encode("utf-8", "replace").decode() for text in texts],
            normalize_embeddings=True,
            show_progress_bar=False,
        )
        return np.asarray(vectors, dtype=np.float32)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        if not texts:
            return []
        clean = [text.encode("utf-8", "replace").decode() for text in texts]
        encoded = self._counting(clean, add_special_tokens=False, verbose=False)
        return [len(ids) for ids in encoded["input_ids"]]
