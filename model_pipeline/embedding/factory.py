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
    if spec == DEFAULT:
        from model_pipeline.embedding.onnx_embedder import open_onnx_embedder

        return open_onnx_embedder(cache_dir=cache_dir, threads=threads)
    if spec.startswith(SENTENCE_TRANSFORMERS) and len(spec) > len(SENTENCE_TRANSFORMERS):
        from model_pipeline.embedding.sentence_transformers_embedder import (
            SentenceTransformersEmbedder,
        )

        model, _, revision = spec.removeprefix(SENTENCE_TRANSFORMERS).partition("@")
        return SentenceTransformersEmbedder(model, revision=revision or None)
    raise ConfigurationError(
        f"PROMPTLY_EMBEDDER is {spec!r}: use {DEFAULT} or {SENTENCE_TRANSFORMERS}MODEL[@REVISION]."
    )
