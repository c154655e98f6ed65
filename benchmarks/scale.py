"""100,000 chunks: filters and small tenants get k of k rows, and how much longer they take.

Vectors are clustered and synthetic, words are drawn by Zipf's law; loaded past the embedder.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector import HalfVector
from pgvector.psycopg import register_vector
from psycopg.types.json import Jsonb

from model_pipeline.store.connect import connection_arguments, open_async_pool
from model_pipeline.store.embedded import embedded_postgres
from model_pipeline.store.migrations import migrate
from model_pipeline.store.pg_store import CHUNK_COLUMNS
from model_pipeline.store.retrieval import PgRetriever

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
    "tenant with 0.1 %": ("small", None),
    "tenant with 10 %": ("medium", None),
}


def measure(home: Path, report: Callable[[str, str], None]) -> None:
    with embedded_postgres(home / "postgres") as conninfo:
        migrate(conninfo)
        rng = np.random.default_rng(0)
        centres = _unit(rng.normal(size=(1000, 384)).astype(np.float32))
        started = time.perf_counter()
        _load(conninfo, rng, centres)
        report("load 100,000 chunks without embedding, s", f"{time.perf_counter() - started:.0f}")
        asyncio.run(_search(conninfo, rng, centres, report))


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _near(rng: np.random.Generator, centres: NDArray[np.float32]) -> NDArray[np.float32]:
    noise = rng.normal(size=384).astype(np.float32) * 0.05
    return _unit(centres[rng.integers(len(centres))] + noise)


def _words(rng: np.random.Generator, count: int) -> str:
    ranks = np.minimum(rng.zipf(1.1, size=count), WORDS)
    return " ".join(f"w{rank}" for rank in ranks)


def _collection(number: int) -> str:
    return "small" if number % 1000 == 0 else "medium" if number % 10 == 1 else "large"


def _load(conninfo: str, rng: np.random.Generator, centres: NDArray[np.float32]) -> None:
    with psycopg.connect(conninfo, **connection_arguments(conninfo)) as connection:
        register_vector(connection)
        connection.execute("set statement_timeout = 0")
        connection.execute("drop index chunks_embedding")
        places: dict[str, tuple[UUID, UUID]] = {}
        for name in ("small", "medium", "large"):
            places[name] = (uuid4(), uuid4())
            connection.execute("insert into collections values (%s, %s)", (places[name][0], name))
            connection.execute(
                "insert into documents (document_id, collection_id, source, content_hash) "
                "values (%s, %s, %s, '')",
                (places[name][1], places[name][0], name),
            )
        copy_in = f"copy chunks ({', '.join(CHUNK_COLUMNS)}) from stdin (format binary)"
        for first in range(0, CHUNKS, 10_000):
            with connection.cursor() as cursor, cursor.copy(copy_in) as copy:
                copy.set_types(list(CHUNK_COLUMNS.values()))
                for number in range(first, first + 10_000):
                    collection, document = places[_collection(number)]
                    metadata = {
                        "tenth": number % 10, "hundredth": number % 100, "thousandth": number % 1000
                    }  # fmt: skip
                    text = _words(rng, WORDS_PER_CHUNK)
                    vector = HalfVector(_near(rng, centres))
                    copy.write_row(
                        (
                            uuid4(),
                            collection,
                            document,
                            number,
                            0,
                            [],
                            "",
                            text,
                            Jsonb(metadata),
                            vector,
                        )
                    )
        connection.execute(
            "create index chunks_embedding on chunks using hnsw (embedding halfvec_ip_ops) "
            "with (m = 16, ef_construction = 64)"
        )
        connection.execute("vacuum analyze")


async def _search(
    conninfo: str,
    rng: np.random.Generator,
    centres: NDArray[np.float32],
    report: Callable[[str, str], None],
) -> None:
    async with open_async_pool(conninfo, min_size=1, max_size=1) as pool:
        store = PgRetriever(pool)
        times: dict[str, list[float]] = {name: [] for name in CASES}
        fewest = dict.fromkeys(CASES, 10)
        for round_ in range(ROUNDS + 10):
            question = _words(rng, 3) + " " + " ".join(f"w{n}" for n in rng.integers(1, WORDS, 4))
            vector = _near(rng, centres)
            for name, (collection, filter) in CASES.items():
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
            report(
                f"100,000 chunks, {name}, p50 / p95 ms",
                f"{p50:.1f} / {p95:.1f} ({p95 / base:.1f} times the unfiltered p95); "
                f"fewest rows {fewest[name]} of 10",
            )
