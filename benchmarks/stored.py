"""The public collections in a store, and what searches them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from benchmarks.corpora import Corpus
from model_pipeline.documents.split import Splitter
from model_pipeline.domain import Embedder
from model_pipeline.ingest import Ingest
from model_pipeline.store.connect import open_async_pool, open_pool
from model_pipeline.store.migrations import migrate
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.retrieval import PgRetriever
from rag_service.retrieve import Retriever


def store(conninfo: str, embedder: Embedder, corpora: Sequence[Corpus]) -> None:
    """Migrates the database and ingests each corpus into a collection of its name."""
    migrate(conninfo)
    splitter = Splitter(embedder.count_tokens, max_tokens=embedder.max_tokens)
    with open_pool(conninfo, min_size=1, max_size=3) as pool:
        for corpus in corpora:
            done = Ingest(PgStore(pool), embedder, splitter).run(
                [str(corpus.path)], collection=corpus.collection
            )
            assert done.new == len(corpus.passages)


@asynccontextmanager
async def retriever(conninfo: str, embedder: Embedder) -> AsyncIterator[Retriever]:
    async with open_async_pool(conninfo, min_size=1, max_size=4) as pool:
        with ThreadPoolExecutor(2) as executor:
            yield Retriever(embedder, PgRetriever(pool), executor)
