"""100,000 chunks or a million: filters and small tenants get k of k rows, and what that costs.

Vectors are clustered and synthetic, words are drawn by Zipf's law; loaded past the embedder.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid4, uuid5

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector import HalfVector
from pgvector.psycopg import register_vector
from psycopg.types.json import Jsonb

from model_pipeline.domain import Caller
from model_pipeline.store.connect import connection_arguments, open_async_pool
from model_pipeline.store.embedded import embedded_postgres
from model_pipeline.store.migrations import migrate
from model_pipeline.store.retrieval import PgRetriever
from model_pipeline.store.rows import CHUNK_COLUMNS

CHUNKS = 100_000
WORDS = 30_000
WORDS_PER_CHUNK = 100
ROUNDS = 100
CASES: dict[str, tuple[str | None, Mapping[str, Any] | None]] = {
    "unfiltered": (None, None),
    "filter, 10 %": (None, {"tenth": 3}),
    "filter, 1 %": (None, {"hundredth": 3}),
    "filter, 0.1 %": (None, {"thousandth": 3}),
    "range, 1 % (no index helps)": (None, {"hundredth": {"gt": 98}}),
    "tenant with 0.1 %": ("thousandth", None),
    "tenant with 1 %": ("hundredth", None),
    "tenant with 10 %": ("tenth", None),
}
# People by the collections that row-level security shows them, and what the tables' owner asks to
# search the same.
COLLECTIONS = ("thousandth", "hundredth", "tenth", "rest")
PEOPLE = {
    "as a user who sees 0.1 %": (("thousandth",), "tenant with 0.1 %"),
    "as a user who sees 1 %": (("hundredth",), "tenant with 1 %"),
    "as a user who sees 10 %": (("tenth",), "tenant with 10 %"),
    "as a user who sees 100 %": (COLLECTIONS, "unfiltered"),
}


def measure(home: Path, report: Callable[[str, str], None], chunks: int = CHUNKS) -> None:
    with embedded_postgres(home / "postgres") as conninfo:
        migrate(conninfo)
        rng = np.random.default_rng(0)
        centres = _unit(rng.normal(size=(1000, 384)).astype(np.float32))
        started = time.perf_counter()
        _load(conninfo, rng, centres, chunks)
        elapsed = time.perf_counter() - started
        report(f"load {chunks:,} chunks without embedding, s", f"{elapsed:.0f}")
        asyncio.run(_search(conninfo, rng, centres, report, chunks))


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _near(rng: np.random.Generator, centres: NDArray[np.float32]) -> NDArray[np.float32]:
    noise = rng.normal(size=384).astype(np.float32) * 0.05
    return _unit(centres[rng.integers(len(centres))] + noise)


def _words(rng: np.random.Generator, count: int) -> str:
    ranks = np.minimum(rng.zipf(1.1, size=count), WORDS)
    return " ".join(f"w{rank}" for rank in ranks)


def _user(name: str) -> UUID:
    return uuid5(NAMESPACE_OID, name)


def _collection(number: int) -> str:
    if number % 1000 == 0:
        return "thousandth"
    return "hundredth" if number % 100 == 2 else "tenth" if number % 10 == 1 else "rest"


def _load(
    conninfo: str, rng: np.random.Generator, centres: NDArray[np.float32], chunks: int
) -> None:
    with psycopg.connect(conninfo, **connection_arguments(conninfo)) as connection:
        register_vector(connection)
        connection.execute("set statement_timeout = 0")
        connection.execute("set maintenance_work_mem = '2GB'")
        connection.execute("drop index chunks_embedding")
        collections = {name: uuid4() for name in COLLECTIONS}
        for name, collection in collections.items():
            connection.execute("insert into collections values (%s, %s)", (collection, name))
            for person, (sees, _) in PEOPLE.items():
                if name in sees:
                    connection.execute(
                        "insert into members (collection_id, user_id) values (%s, %s)",
                        (collection, _user(person)),
                    )
        for first in range(0, chunks, 10_000):
            _load_block(connection, rng, centres, range(first, first + 10_000), collections)
        connection.execute(
            "create index chunks_embedding on chunks using hnsw (embedding halfvec_ip_ops) "
            "with (m = 16, ef_construction = 64)"
        )
        connection.execute("vacuum analyze")


def _load_block(
    connection: psycopg.Connection[Any],
    rng: np.random.Generator,
    centres: NDArray[np.float32],
    numbers: range,
    collections: Mapping[str, UUID],
) -> None:
    """Each chunk a document of its own: the most that a filter may have to read."""
    rows = []
    for number in numbers:
        metadata = {"tenth": number % 10, "hundredth": number % 100, "thousandth": number % 1000}
        rows.append((uuid4(), collections[_collection(number)], Jsonb(metadata)))
    with connection.cursor() as cursor:
        documents = "document_id, collection_id, metadata, source, content_hash"
        with cursor.copy(f"copy documents ({documents}) from stdin (format binary)") as copy:
            copy.set_types(["uuid", "uuid", "jsonb", "text", "text"])
            for document, collection, metadata in rows:
                copy.write_row((document, collection, metadata, str(document), ""))
        columns = ", ".join(CHUNK_COLUMNS)
        with cursor.copy(f"copy chunks ({columns}) from stdin (format binary)") as copy:
            copy.set_types(list(CHUNK_COLUMNS.values()))
            for document, collection, metadata in rows:
                text = _words(rng, WORDS_PER_CHUNK)
                vector = HalfVector(_near(rng, centres))
                copy.write_row((collection, document, 0, 0, [], "", text, metadata, vector))


async def _search(
    conninfo: str,
    rng: np.random.Generator,
    centres: NDArray[np.float32],
    report: Callable[[str, str], None],
    chunks: int,
) -> None:
    # A connection each, as in a service: plans are made for a role, and anew for another.
    async with (
        open_async_pool(conninfo, min_size=1, max_size=1) as owners,
        open_async_pool(conninfo, min_size=1, max_size=1) as peoples,
    ):
        owner = PgRetriever(owners)
        cases = {name: (owner, *case) for name, case in CASES.items()}
        for name in PEOPLE:
            caller = Caller("authenticated", {"sub": str(_user(name))})
            cases[name] = (PgRetriever(peoples, caller), None, None)
        times: dict[str, list[float]] = {name: [] for name in cases}
        fewest = dict.fromkeys(cases, 10)
        for round_ in range(ROUNDS + 10):
            question = _words(rng, 3) + " " + " ".join(f"w{n}" for n in rng.integers(1, WORDS, 4))
            vector = _near(rng, centres)
            for name, (store, collection, filter) in cases.items():
                started = time.perf_counter()
                result = await store.search(
                    text=question, vector=vector, k=10, mode="hybrid", collection=collection,
                    filter=filter,
                )  # fmt: skip
                if round_ >= 10:
                    times[name].append((time.perf_counter() - started) * 1000)
                fewest[name] = min(fewest[name], len(result.passages))
        base = float(np.percentile(times["unfiltered"], 95))
        for name, taken in times.items():
            p50, p95 = np.percentile(taken, [50, 95])
            text = f"{p50:.1f} / {p95:.1f} ({p95 / base:.1f} times the unfiltered p95); "
            if name in PEOPLE:
                owner50, owner95 = np.percentile(times[PEOPLE[name][1]], [50, 95])
                text += f"{p50 / owner50:.2f} / {p95 / owner95:.2f} times the owner's; "
            report(
                f"{chunks:,} chunks, {name}, p50 / p95 ms",
                text + f"fewest rows {fewest[name]} of 10",
            )
