"""A store on a fresh database, and documents to put in it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg
import pytest
from psycopg_pool import ConnectionPool

from model_pipeline.domain import Chunk, Document
from model_pipeline.store.connect import open_pool
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.rows import EmbeddedDocument
from tests.model_pipeline.store.diagnosing import EMBEDDER

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


@pytest.fixture
def sound(database: str, embedded: MakeDocument) -> str:
    """A healthy database with documents in two collections."""
    with open_pool(database, min_size=1, max_size=1) as pool:
        store = PgStore(pool)
        store.register_embedder(*EMBEDDER)
        for name in ("manuals", "notes"):
            batch = [embedded(f"{name}.md", ("Apples and pears. ", "Pears, a cat. "))]
            store.replace_documents(store.ensure_collection(name), batch)
    return database


@pytest.fixture
def role(database: str) -> Iterator[str]:
    """A user without any right."""
    name = f"somebody_{uuid4().hex}"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"create role {name} login")
    yield name
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"drop owned by {name}")
        connection.execute(f"drop role {name}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 120 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=120m", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
