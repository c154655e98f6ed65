"""The worker against a direct ingest, an edit until it is found, a pooler against none."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import numpy as np
import psycopg

from benchmarks.corpora import Corpus
from model_pipeline.documents.split import Splitter
from model_pipeline.domain import Embedder
from model_pipeline.ingest import Ingest
from model_pipeline.store.connect import open_async_pool, open_pool
from model_pipeline.store.embedded import embedded_postgres
from model_pipeline.store.migrations import migrate
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.queue import News, PgQueue
from model_pipeline.store.retrieval import PgRetriever
from model_pipeline.worker import Worker
from tests.servers import pgbouncer

CHUNKS = 10_000
BLOCK = 500  # documents
EDITS = 50
SEARCHES = 200

Report = Callable[[str, str], None]


def measure(home: Path, embedder: Embedder, corpus: Corpus, report: Report) -> None:
    with embedded_postgres(home / "updates") as conninfo:
        migrate(conninfo)
        _throughput(conninfo, home, embedder, corpus, report)
        _latency(conninfo, embedder, report)
        if pgbouncer.program() is not None:
            with pgbouncer.running(conninfo, home) as port:
                pooled = f"postgresql://postgres@127.0.0.1:{port}/postgres?pgbouncer=true"
                asyncio.run(_pooler(conninfo, pooled, embedder, corpus, report))


@contextmanager
def _working(conninfo: str, embedder: Embedder) -> Iterator[None]:
    stop = threading.Event()
    with open_pool(conninfo, min_size=1, max_size=4) as pool:
        store = PgStore(pool)
        ingest = Ingest(store, embedder, _splitter(embedder))
        queue = PgQueue(pool, store, uuid4())
        worker = Worker(queue, News(conninfo), ingest, tell=lambda _: None)
        thread = threading.Thread(target=worker.run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def _splitter(embedder: Embedder) -> Splitter:
    return Splitter(embedder.count_tokens, max_tokens=embedder.max_tokens)


def _throughput(
    conninfo: str, home: Path, embedder: Embedder, corpus: Corpus, report: Report
) -> None:
    """In turns, block by block, so that both meet the same indexes and the same neighbours."""
    texts = itertools.cycle(corpus.passages.values())
    direct = queued = 0.0
    chunks = 0
    with (
        psycopg.connect(conninfo, autocommit=True) as connection,
        open_pool(conninfo, min_size=1, max_size=3) as pool,
    ):
        ingest = Ingest(PgStore(pool), embedder, _splitter(embedder))
        while chunks < CHUNKS:
            folder = home / f"after {chunks}"
            folder.mkdir()
            rows = [(str(folder / f"{n}.md"), next(texts)) for n in range(BLOCK)]
            for name, text in rows:
                Path(name).write_text(text)
            started = time.perf_counter()
            done = ingest.run([str(folder)], collection="direct")
            direct += time.perf_counter() - started
            assert done.new == BLOCK
            chunks += done.chunks
            connection.execute(
                "insert into collections (name) values ('queued') on conflict do nothing"
            )
            with _working(conninfo, embedder):
                time.sleep(1)
                started = time.perf_counter()
                with connection.transaction(), connection.cursor() as cursor:
                    cursor.executemany(
                        "insert into documents (collection_id, source, content) "
                        "select collection_id, %s, %s from collections where name = 'queued'",
                        rows,
                    )
                while connection.execute("select 1 from jobs limit 1").fetchone():
                    time.sleep(0.02)
                queued += time.perf_counter() - started
    report(
        f"{chunks:,} chunks of rows in a table, by the worker, chunks/s",
        f"{chunks / queued:.0f} against {chunks / direct:.0f} of a direct ingest of files: "
        f"{direct / queued:.2f} times its rate",
    )


def _latency(conninfo: str, embedder: Embedder, report: Report) -> None:
    taken = []
    found = (
        "select chunk_id from search_chunks(%s, null, mode => 'lexical', collection => 'queued')"
    )
    with (
        psycopg.connect(conninfo, autocommit=True) as connection,
        _working(conninfo, embedder),
    ):
        time.sleep(1)
        for number in range(EDITS):
            word = f"edit{number}"
            connection.execute(
                "update documents set content = %s || content where document_id = "
                "(select document_id from documents where content is not null limit 1 offset %s)",
                (f"{word} is new here. ", number),
            )
            started = time.perf_counter()
            while connection.execute(found, (word,)).fetchone() in (None, (None,)):
                time.sleep(0.002)
            taken.append((time.perf_counter() - started) * 1000)
    p50, p95 = np.percentile(taken, [50, 95])
    report("from an edit's commit until it is found, p50 / p95 ms", f"{p50:.0f} / {p95:.0f}")


async def _pooler(
    conninfo: str, pooled: str, embedder: Embedder, corpus: Corpus, report: Report
) -> None:
    questions = list(itertools.islice(itertools.cycle(corpus.questions.values()), SEARCHES))
    vectors = embedder.embed(questions)
    times: tuple[list[float], list[float]] = ([], [])
    async with (
        open_async_pool(conninfo, min_size=1, max_size=1) as one,
        open_async_pool(pooled, min_size=1, max_size=1) as other,
    ):
        for round_, (question, vector) in enumerate(zip(questions, vectors, strict=True)):
            for side, pool in zip(times, (one, other), strict=True):
                started = time.perf_counter()
                await PgRetriever(pool).search(
                    text=question, vector=vector, k=10, mode="hybrid", collection=None, filter=None
                )
                if round_ >= 20:
                    side.append((time.perf_counter() - started) * 1000)
    (a, a95), (b, b95) = (np.percentile(side, [50, 95]) for side in times)
    report(
        "search through PgBouncer, p50 / p95 ms",
        f"{b:.2f} / {b95:.2f} against {a:.2f} / {a95:.2f} direct: "
        f"{b / a:.2f} / {b95 / a95:.2f} times",
    )
