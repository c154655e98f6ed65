"""An embedder by its setting."""

from __future__ import annotations

from pathlib import Path

from model_pipeline.domain import Embedder
from model_pipeline.embedding.weights import MODEL
from model_pipeline.errors import ConfigurationError

DEFAULT = f"onnx:{MODEL}"
SENTENCE_TRANSFORMERS = "sentence-transformers:"


def open_embedder(spec: str, *, cache_dir: Path, threads: int) -> Embedder:
    """`spec` is "onnx:all-MiniLM-L6-v2" or "sentence-transformers:MODEL[@REVISION]"."""
    require_spec(spec)
    if spec == DEFAULT:
        from model_pipeline.embedding.onnx_embedder import open_onnx_embedder

        return open_onnx_embedder(cache_dir=cache_dir, threads=threads)
    from model_pipeline.embedding.sentence_transformers_embedder import (
        SentenceTransformersEmbedder,
    )

    model, _, revision = spec.removeprefix(SENTENCE_TRANSFORMERS).partition("@")
    return SentenceTransformersEmbedder(model, revision=revision or None)


def require_spec(spec: str) -> None:
    """Raises ConfigurationError for what names no embedder."""
    if spec == DEFAULT or (
        spec.startswith(SENTENCE_TRANSFORMERS) and spec != SENTENCE_TRANSFORMERS
    ):
        return
    raise ConfigurationError(
        f"There is no embedder {spec!r}: set PROMPTLY_EMBEDDER or --model to {DEFAULT} or "
        f"{SENTENCE_TRANSFORMERS}MODEL[@REVISION]."
    )
