"""A language model by its setting."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model_pipeline.errors import ConfigurationError
from rag_service.generate.writer import Spent, unheard

if TYPE_CHECKING:
    from rag_service.generate.openai_writer import OpenAIWriter
    from rag_service.generate.transformers_writer import TransformersWriter

EXTRACTIVE = "extractive"
TRANSFORMERS = "transformers:"
OPENAI = "openai:"


@dataclass(frozen=True, slots=True)
class WriterOptions:
    """`context_tokens` and `timeout_s` are an endpoint's; `batch` and `cache_dir` are of a model in
    this process."""

    api_key: str | None = None
    max_new_tokens: int = 512
    context_tokens: int = 8192
    timeout_s: float = 10.0
    batch: int = 8
    cache_dir: Path | None = None
    spent: Spent = unheard


def open_writer(spec: str, options: WriterOptions) -> TransformersWriter | OpenAIWriter | None:
    """None for "extractive", which needs none; else of "transformers:<model>[+<adapter>]" or
    "openai:<base url>#<model>". Loads a model: call it in a thread. Raises ConfigurationError."""
    if spec == EXTRACTIVE:
        return None
    if spec.startswith(TRANSFORMERS):
        from rag_service.generate.transformers_writer import TransformersWriter, parse_weights

        return TransformersWriter(
            *parse_weights(spec.removeprefix(TRANSFORMERS)),
            max_new_tokens=options.max_new_tokens,
            batch=options.batch,
            cache_dir=options.cache_dir,
            spent=options.spent,
        )
    if spec.startswith(OPENAI):
        from rag_service.generate.openai_writer import OpenAIWriter, parse_endpoint

        return OpenAIWriter(
            *parse_endpoint(spec.removeprefix(OPENAI)),
            api_key=options.api_key,
            context_tokens=options.context_tokens,
            max_new_tokens=options.max_new_tokens,
            timeout_s=options.timeout_s,
            spent=options.spent,
        )
    raise ConfigurationError(
        f"There is no generator {spec!r}: set PROMPTLY_GENERATOR to {EXTRACTIVE}, "
        f"{TRANSFORMERS}<repository>@<commit> or {OPENAI}<base url>#<model>."
    )


def model_name(spec: str) -> str:
    """The name of what `open_writer` makes of it, without loading it. Raises ConfigurationError."""
    if spec.startswith(OPENAI):
        from rag_service.generate.openai_writer import endpoint_name, parse_endpoint

        return endpoint_name(*parse_endpoint(spec.removeprefix(OPENAI)))
    from rag_service.generate.transformers_writer import parse_weights, weights_name

    return weights_name(*parse_weights(spec.removeprefix(TRANSFORMERS)))
