"""Puts together what writes answers: the documents' own sentences, or a language model's that are
checked against them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from model_pipeline.domain import Embedder, Generator
from model_pipeline.errors import ConfigurationError, ModelUnavailable
from promptly.settings import Settings
from rag_service.condense import Condense, by_rule
from rag_service.generate.extractive import Extractive
from rag_service.generate.factory import EXTRACTIVE, WriterOptions, open_writer
from rag_service.generate.fallback import Breaker, WithFallback
from rag_service.generate.writer import Spent, unheard

if TYPE_CHECKING:
    from rag_service.generate.openai_writer import OpenAIWriter

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Generators:
    """What writes, with what puts its questions in full; `condense_name` where that is a model."""

    generator_for: Callable[[Embedder], Generator]
    condense: Condense = by_rule
    condense_name: str | None = None

    def release_id(self, embedder: Embedder) -> str:
        """All that decides an answer."""
        parts = self.generator_for(embedder).name, self.condense_name, embedder.name
        return "/".join(part for part in parts if part)


@asynccontextmanager
async def generators(
    settings: Settings, executor: Executor, spent: Spent = unheard
) -> AsyncIterator[Generators]:
    """What makes the generator that is set, for the embedder in use; `executor` runs what is
    computed, `spent` hears of tokens. Raises ConfigurationError."""
    _require_model(settings)
    writer = await asyncio.to_thread(open_writer, settings.generator, options(settings, spent))
    if writer is None:
        yield Generators(lambda embedder: Extractive(embedder, executor))
        return
    from rag_service.generate.cited import Cited
    from rag_service.generate.openai_writer import OpenAIWriter
    from rag_service.generate.prompt import Prompt
    from rag_service.generate.rewrite import ByModel

    prompt, breaker = Prompt(), Breaker()

    def generator_for(embedder: Embedder) -> Generator:
        cited = Cited(writer, prompt, embedder, executor, unsupported=settings.unsupported)
        if isinstance(writer, OpenAIWriter):
            return WithFallback(cited, Extractive(embedder, executor), breaker)
        return cited

    try:
        if isinstance(writer, OpenAIWriter):
            await _told_if_away(writer)
        if settings.condense == "model":
            condense = ByModel(writer)
            yield Generators(generator_for, condense, condense.name)
        else:
            yield Generators(generator_for)
    finally:
        await writer.close()


def _require_model(settings: Settings) -> None:
    if settings.condense == "model" and settings.generator == EXTRACTIVE:
        raise ConfigurationError(
            "PROMPTLY_CONDENSE is 'model', and the generator 'extractive' is none: set "
            "PROMPTLY_GENERATOR to one, or PROMPTLY_CONDENSE to 'rule'."
        )


async def _told_if_away(writer: OpenAIWriter) -> None:
    """An endpoint may come later than the service, which answers from the documents until then."""
    try:
        await writer.check()
    except ModelUnavailable as error:
        log.warning("generator_away", model=writer.name, reason=error.message)


async def check(settings: Settings) -> str:
    """What is set, as far as it works. Raises ConfigurationError and ModelUnavailable."""
    from rag_service.generate.openai_writer import OpenAIWriter

    _require_model(settings)
    writer = await asyncio.to_thread(open_writer, settings.generator, options(settings))
    if writer is None:
        return settings.generator
    try:
        return await writer.check() if isinstance(writer, OpenAIWriter) else writer.name
    finally:
        await writer.close()


@contextmanager
def naming(setting: str, key: str = "PROMPTLY_OPENAI_API_KEY") -> Iterator[None]:
    """What is said in here of the generator's setting and its key is said of these."""
    try:
        yield
    except (ConfigurationError, ModelUnavailable) as error:
        said = error.message.replace("PROMPTLY_GENERATOR", setting)
        error.message = said.replace("PROMPTLY_OPENAI_API_KEY", key)
        raise


def options(settings: Settings, spent: Spent = unheard) -> WriterOptions:
    key = settings.openai_api_key
    return WriterOptions(
        api_key=key.get_secret_value() if key else None,
        max_new_tokens=settings.max_new_tokens,
        context_tokens=settings.context_tokens,
        timeout_s=settings.generator_timeout_s,
        batch=settings.generator_batch,
        cache_dir=settings.cache_dir / "models",
        spent=spent,
    )
