"""Builds every object once, from the settings. The only place that knows all the parts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from model_pipeline.domain import Embedder
from model_pipeline.documents.split import Splitter
from model_pipeline.embedding.factory import open_embedder
from model_pipeline.errors import ConfigurationError
from model_pipeline.store.connect import open_async_pool, open_pool
from model_pipeline.store.embedded import embedded_postgres
from model_pipeline.store.migrations import migrate
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.retrieval import PgRetriever
from promptly.settings import Settings
from rag_service.answer import Answerer
from rag_service.generate.extractive import Extractive
from rag_service.retrieve import Retriever


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """The connection string of the database; starts or joins the embedded one where no URL is set,
    and brings that one's schema up to date. A database given by URL is migrated only on request."""
    if settings.database_url:
        yield settings.database_url
        return
    with embedded_postgres(settings.database_dir) as conninfo:
        migrate(conninfo)
        yield conninfo


@contextmanager
def store(settings: Settings) -> Iterator[PgStore]:
    with database(settings) as conninfo, open_pool(conninfo, min_size=1, max_size=4) as pool:
        yield PgStore(pool)


def embedder(settings: Settings) -> Embedder:
    return open_embedder(settings.embedder, cache_dir=settings.cache_dir, threads=settings.threads)


def splitter(embedder: Embedder) -> Splitter:
    return Splitter(embedder.count_tokens, max_tokens=embedder.max_tokens)


@dataclass(frozen=True, slots=True)
class Answering:
    """What a question needs, from the embedder to the answer."""

    embedder: Embedder
    retriever: Retriever
    answerer: Answerer
    store: PgRetriever


@asynccontextmanager
async def answering(settings: Settings, conninfo: str) -> AsyncIterator[Answering]:
    if settings.generator != "extractive":
        raise ConfigurationError(
            f"PROMPTLY_GENERATOR is {settings.generator!r}, but this version has only 'extractive'."
        )
    encoder = embedder(settings)
    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="embed") as executor:
        async with open_async_pool(conninfo, min_size=1, max_size=settings.pool_size) as pool:
            passages = PgRetriever(pool)
            retriever = Retriever(encoder, passages, executor)
            generator = Extractive(encoder)
            answerer = Answerer(retriever, generator, release_id=f"{generator.name}/{encoder.name}")
            yield Answering(encoder, retriever, answerer, passages)
