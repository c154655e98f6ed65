"""A store on a fresh database, and documents to put in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg_pool import ConnectionPool

from model_pipeline.domain import Chunk, Document
from model_pipeline.store.connect import open_pool
from model_pipeline.store.pg_store import EmbeddedDocument, PgStore

DIMENSIONS = 384
MakeDocument = Callable[..., EmbeddedDocument]


@pytest.fixture
def pool(database: str) -> Iterator[ConnectionPool[psycopg.Connection[Any]]]:
    with open_pool(database, min_size=1, max_size=8) as pool:
        yield pool


@pytest.fixture
def store(pool: ConnectionPool[psycopg.Connection[Any]]) -> PgStore:
    return PgStore(pool)


@pytest.fixture
def embedded() -> MakeDocument:
    """Makes a document of the given chunks, with vectors that depend on their text alone."""

    def make(
        source: str = "guide.md",
        parts: tuple[str, ...] = ("One. ", "Two. "),
        *,
        title: str = "Guide",
        metadata: Mapping[str, Any] | None = None,
        origin: str = "docs",
        dimensions: int = DIMENSIONS,
    ) -> EmbeddedDocument:
        document = Document(source, title, "".join(parts), metadata or {})
        chunks, start = [], 0
        for ordinal, part in enumerate(parts):
            chunks.append(Chunk(ordinal, start, start + len(part), part, ("Part", str(ordinal))))
            start += len(part)
        vectors = np.random.default_rng(len(document.content)).normal(size=(len(parts), dimensions))
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        return EmbeddedDocument(document, document.content_hash(), origin, chunks, vectors)

    return make
