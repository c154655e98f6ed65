"""The store through a real transaction pooler: many clients, two server connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, get_args

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from model_pipeline.documents.split import Splitter
from model_pipeline.domain import SearchMode
from model_pipeline.embedding.onnx_embedder import OnnxEmbedder
from model_pipeline.errors import ConfigurationError
from model_pipeline.ingest import Ingest
from model_pipeline.store.connect import (
    for_libpq,
    open_async_pool,
    open_pool,
)
from model_pipeline.store.migrations import migrate, status
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.retrieval import PgRetriever
from tests.conftest import NewDatabase, ThroughPooler
from tests.servers.pgbouncer import SERVER_CONNECTIONS

CLIENTS = 24
QUESTIONS = ("How is a tent pitched?", "stove", "rope and lantern", "nothing of the kind")
FILTERS: tuple[dict[str, Any] | None, ...] = (None, {"lang": "en"}, {"lang": "absent"})


@pytest.fixture(scope="module")
def direct(
    new_database: NewDatabase,
    pgbouncer: ThroughPooler,
    embedder: OnnxEmbedder,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """A database that was filled through the pooler, reached directly."""
    folder = tmp_path_factory.mktemp("docs")
    topics = ("tent", "rope", "lantern", "stove", "kettle", "boots")
    for n in range(60):
        first, second = topics[n % 6], topics[n // 6 % 6]
        (folder / f"{n}.md").write_text(
            f"---\nlang: {'en' if n % 3 else 'de'}\n---\n\nThe {first} of {second} {n}.\n"
        )
    with new_database() as conninfo:
        with open_pool(pgbouncer(conninfo), min_size=1, max_size=4) as pool:
            store = PgStore(pool)
            ingest = Ingest(store, embedder, Splitter(embedder.count_tokens, max_tokens=128))
            assert ingest.run([str(folder)], collection="shop").new == 60
            assert ingest.run([str(folder)], collection="shop").unchanged == 60
        yield conninfo


def rankings(conninfo: str, embedder: OnnxEmbedder, *, clients: int) -> list[list[Any]]:
    """What every question, mode and filter finds, each asked once by each client, all at once."""
    vectors = dict(zip(QUESTIONS, embedder.embed(QUESTIONS), strict=True))

    async def ask(retriever: PgRetriever) -> list[Any]:
        return [
            [
                (passage.chunk_id, passage.score)
                for passage in (
                    await retriever.search(
                        text=question,
                        vector=vectors[question],
                        k=7,
                        mode=mode,
                        collection=collection,
                        filter=filter,
                    )
                ).passages
            ]
            for question in QUESTIONS
            for mode in get_args(SearchMode)
            for collection in ("shop", None)
            for filter in FILTERS
        ]

    async def run() -> list[list[Any]]:
        async with open_async_pool(conninfo, min_size=clients, max_size=clients) as pool:
            await pool.wait()
            return await asyncio.gather(*(ask(PgRetriever(pool)) for _ in range(clients)))

    return asyncio.run(run())


def _servers(direct: str) -> int:
    with psycopg.connect(direct) as connection:
        found = connection.execute(
            "select count(*) from pg_stat_activity where backend_type = 'client backend' "
            "and datname = current_database() and pid <> pg_backend_pid()"
        ).fetchone()
    assert found is not None
    return int(found[0])


def test_many_clients_get_the_rankings_of_a_direct_connection(
    direct: str, pgbouncer: ThroughPooler, embedder: OnnxEmbedder
) -> None:
    (expected,) = rankings(direct, embedder, clients=1)
    assert sum(map(bool, expected)) > len(expected) / 2
    assert rankings(pgbouncer(direct), embedder, clients=CLIENTS) == [expected] * CLIENTS
    servers, deadline = None, time.monotonic() + 30
    while servers is None or (servers > SERVER_CONNECTIONS and time.monotonic() < deadline):
        servers = _servers(direct)  # a direct connection takes a moment to be gone
    assert 1 <= servers <= SERVER_CONNECTIONS


def test_nothing_of_a_session_stays_on_the_servers_connections(
    direct: str, pgbouncer: ThroughPooler, embedder: OnnxEmbedder
) -> None:
    rankings(pgbouncer(direct), embedder, clients=4)
    seen = set()
    with ExitStack() as stack:
        for _ in range(SERVER_CONNECTIONS):  # each holds one by its transaction
            connection = stack.enter_context(
                psycopg.connect(for_libpq(pgbouncer(direct)), prepare_threshold=None)
            )
            pid, *left = (
                connection.execute(
                    "select pg_backend_pid(), (select count(*) from pg_prepared_statements), "
                    "(select count(*) from pg_locks where locktype = 'advisory' "
                    "and pid = pg_backend_pid()), current_setting('search_path')"
                ).fetchone()
                or ()
            )
            seen.add(pid)
            assert left == [0, 0, '"$user", public']
    assert len(seen) == SERVER_CONNECTIONS


def test_pages_cover_every_document_once(direct: str, pgbouncer: ThroughPooler) -> None:
    def pages(conninfo: str) -> list[Any]:
        found: list[Any] = []
        with open_pool(conninfo, min_size=1, max_size=1) as pool:
            store = PgStore(pool)
            while page := store.list_documents(
                collection="shop", limit=25, after=found[-1].document_id if found else None
            ):
                found += page
            document, chunks = store.get_document(found[0].document_id)
            return [*found, document, chunks]

    assert len(pages(direct)) == 62
    assert pages(pgbouncer(direct)) == pages(direct)


def test_many_writers_of_one_collection(
    database: str, pgbouncer: ThroughPooler, embedder: OnnxEmbedder, tmp_path: Path
) -> None:
    def write(number: int) -> int:
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "a.md").write_text(f"Text {number}.")
        done = ingest.run([str(folder)], collection="c").new
        if number % 2:
            (document,) = store.sources_from(store.ensure_collection("c"), str(folder))
            return done - store.remove_sources(store.ensure_collection("c"), [document])
        return done

    with open_pool(pgbouncer(database), min_size=12, max_size=12) as pool:
        store = PgStore(pool)
        ingest = Ingest(store, embedder, Splitter(embedder.count_tokens, max_tokens=128))
        with ThreadPoolExecutor(12) as threads:
            assert sum(threads.map(write, range(24))) == 12
        assert store.counts() == {"collections": 1, "documents": 12, "chunks": 12}


def test_migrate(server: str, pgbouncer: ThroughPooler) -> None:
    name = "empty_behind_pooler"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"create database {name}")
        try:
            empty = pgbouncer(make_conninfo(server, dbname=name))
            with ThreadPoolExecutor(4) as threads:  # each file is applied by one of them
                applied = [stem for stems in threads.map(migrate, [empty] * 4) for stem in stems]
            assert sorted(applied) == [f"{one.version}_{one.name}" for one in status(empty)]
            assert all(one.applied for one in status(empty))
            with open_pool(empty, min_size=1, max_size=1) as pool:
                PgStore(pool).register_embedder("narrow", 64)
        finally:
            connection.execute(f"drop database {name} with (force)")


def test_without_its_mark_a_pooler_is_one_clear_sentence(
    database: str, pgbouncer: ThroughPooler
) -> None:
    with pytest.raises(ConfigurationError, match=r"add `pgbouncer=true`"):
        migrate(for_libpq(pgbouncer(database)))
