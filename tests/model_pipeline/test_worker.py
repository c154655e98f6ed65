"""The worker over a real database: what is edited there is found, and nothing stale ever is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from model_pipeline.documents.split import Splitter
from model_pipeline.embedding.onnx_embedder import OnnxEmbedder
from model_pipeline.ingest import Ingest
from model_pipeline.store.connect import open_pool
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.queue import MAX_ATTEMPTS, News, PgQueue
from model_pipeline.worker import Worked, Worker

Row = tuple[Any, ...]
Sql = Callable[..., list[Row]]


@pytest.fixture
def pool(database: str) -> Iterator[ConnectionPool[psycopg.Connection[Any]]]:
    with open_pool(database, min_size=1, max_size=8) as pool:
        yield pool


@pytest.fixture
def sql(database: str) -> Iterator[Sql]:
    with psycopg.connect(database, autocommit=True) as connection:

        def run(statement: str, *arguments: object) -> list[Row]:
            cursor = connection.execute(statement, arguments)
            return cursor.fetchall() if cursor.description else []

        yield run


@pytest.fixture
def collection(pool: ConnectionPool[psycopg.Connection[Any]], embedder: OnnxEmbedder) -> UUID:
    store = PgStore(pool)
    store.register_embedder(embedder.name, embedder.dimensions)
    return store.ensure_collection("notes")


@pytest.fixture
def working(
    database: str, pool: ConnectionPool[psycopg.Connection[Any]], embedder: OnnxEmbedder
) -> Callable[[], AbstractContextManager[list[Worked]]]:
    """A worker that runs meanwhile, and what it told."""

    @contextmanager
    def run() -> Iterator[list[Worked]]:
        told: list[Worked] = []
        store = PgStore(pool)
        splitter = Splitter(embedder.count_tokens, max_tokens=embedder.max_tokens)
        worker = Worker(
            PgQueue(pool, store, uuid4()),
            News(database),
            Ingest(store, embedder, splitter),
            tell=told.append,
        )
        stop = threading.Event()
        thread = threading.Thread(target=worker.run, args=(stop,))
        thread.start()
        try:
            yield told
        finally:
            stop.set()
            thread.join()

    return run


def eventually(true: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


ADD = "insert into documents (collection_id, source, title, content) values (%s, %s, %s, %s)"
FOUND = "select content from search_chunks(%s, null, mode => 'lexical') where chunk_id is not null"


def idle(sql: Sql) -> Callable[[], bool]:
    return lambda: not sql("select 1 from jobs where dead_at is null")


def test_what_is_written_into_the_table_is_found_and_its_edit_too(
    sql: Sql, collection: UUID, working: Callable[[], AbstractContextManager[list[Worked]]]
) -> None:
    with working():
        sql(ADD, collection, "a", "Tides", "# Tides\n\nThe moon pulls the sea.")
        eventually(lambda: sql(FOUND, "moon"))
        sql("update documents set content = 'Rivers carry silt.' where source = 'a'")
        assert sql(FOUND, "moon") == []  # from the edit's own commit on
        eventually(lambda: sql(FOUND, "silt"))
        sql("update documents set title = 'Estuary' where source = 'a'")
        eventually(lambda: sql(FOUND, "estuary"))
        sql("delete from documents where source = 'a'")
        assert sql(FOUND, "silt") == []
        eventually(idle(sql))
    counted = sql("select chunk_count, total_length from collection_statistics")
    assert counted == [(0, 0)]


def test_many_at_once_are_all_indexed_and_single_edits_go_first(
    sql: Sql, collection: UUID, working: Callable[[], AbstractContextManager[list[Worked]]]
) -> None:
    sql(
        "insert into documents (collection_id, source, content) "
        "select %s, 'bulk ' || n, 'Word' || n || ' ' || repeat('and more of it. ', 40) "
        "from generate_series(1, 300) as n",
        collection,
    )
    sql(ADD, collection, "single", "", "A zebra crosses.")
    with working() as told:
        eventually(idle(sql), 60)
    assert told[0].name == "single"
    assert sql("select count(*) from documents where chunk_count = 1") == [(301,)]
    assert sql("select count(*) from chunks") == [(301,)]


def test_an_edit_while_its_document_is_embedded_is_not_overwritten(
    sql: Sql,
    collection: UUID,
    pool: ConnectionPool[psycopg.Connection[Any]],
    embedder: OnnxEmbedder,
) -> None:
    store = PgStore(pool)
    queue = PgQueue(pool, store, uuid4())
    ingest = Ingest(store, embedder, Splitter(embedder.count_tokens, max_tokens=256))
    worker = Worker(queue, News(""), ingest, tell=lambda _: None)
    sql(ADD, collection, "a", "", "The old text.")
    stale = worker._prepare(queue.claim_documents(documents=10, characters=1000))
    sql("update documents set content = 'The new text.' where source = 'a'")
    assert queue.write_chunks(stale) == 0
    assert sql("select count(*) from chunks") == [(0,)]
    fresh = worker._prepare(queue.claim_documents(documents=10, characters=1000))
    assert queue.write_chunks(fresh) == 1
    assert sql("select content from chunks") == [("The new text.",)]
    assert queue.write_chunks(fresh) == 0
    assert sql("select count(*) from jobs") == [(0,)]


def test_a_job_is_one_workers_until_its_lease_runs_out(
    sql: Sql,
    collection: UUID,
    pool: ConnectionPool[psycopg.Connection[Any]],
    embedder: OnnxEmbedder,
) -> None:
    store = PgStore(pool)
    ingest = Ingest(store, embedder, Splitter(embedder.count_tokens, max_tokens=256))
    first, second = (PgQueue(pool, store, uuid4()) for _ in range(2))
    worker = Worker(first, News(""), ingest, tell=lambda _: None)
    sql(ADD, collection, "a", "", "Some text.")
    held = worker._prepare(first.claim_documents(documents=10, characters=1000))
    assert second.claim_documents(documents=10, characters=1000) == []
    sql("update jobs set leased_until = now() - interval '1 s'")
    (taken,) = second.claim_documents(documents=10, characters=1000)
    assert taken.attempts == 2
    assert first.write_chunks(held) == 0  # it came back too late
    second.extend_leases()
    assert first.claim_documents(documents=10, characters=1000) == []
    assert second.fail(taken, "once more") is False
    assert sql("select reason, dead_at, due_at > now() from jobs") == [("once more", None, True)]


def test_what_fails_is_tried_again_and_then_given_up_with_its_reason(
    sql: Sql,
    collection: UUID,
    pool: ConnectionPool[psycopg.Connection[Any]],
    tmp_path: Path,
    working: Callable[[], AbstractContextManager[list[Worked]]],
) -> None:
    gone = tmp_path / "gone"
    sql(
        "insert into sources (collection_id, kind, settings) values (%s, 'files', %s)",
        collection,
        Jsonb({"paths": [str(gone)]}),
    )
    with working() as told:
        eventually(lambda: told)
        assert told[0].event == "failed"
        sql("update jobs set attempts = %s, due_at = now()", MAX_ATTEMPTS - 1)
        eventually(lambda: told[-1].event == "dead")
        ((reason,),) = sql("select reason from jobs where dead_at is not null")
        assert "does not exist" in reason
        gone.mkdir()
        (gone / "a.md").write_text("Now it is there.")
        sql("select ask_for_refresh(array(select source_id from sources))")
        eventually(lambda: told[-1].event == "refreshed")
    assert sql("select last_result ->> 'new' from sources") == [("1",)]
    assert sql("select count(*) from jobs") == [(0,)]


def test_a_folder_is_refreshed_on_its_schedule(
    sql: Sql,
    collection: UUID,
    tmp_path: Path,
    working: Callable[[], AbstractContextManager[list[Worked]]],
) -> None:
    (tmp_path / "a.md").write_text("The heron waits.")
    (tmp_path / "b.md").write_text("The otter swims.")
    sql(
        "insert into sources (collection_id, kind, settings, refresh_every) "
        "values (%s, 'files', %s, '1 hour')",
        collection,
        Jsonb({"paths": [str(tmp_path)]}),
    )
    with working() as told:
        eventually(lambda: told)
        (tmp_path / "a.md").unlink()
        (tmp_path / "c.md").write_text("The beaver builds.")
        sql("update sources set refresh_at = now()")
        eventually(lambda: len(told) == 2)
    assert sql("select source from documents order by 1") == [
        (str(tmp_path / "b.md"),),
        (str(tmp_path / "c.md"),),
    ]
    ((result, due),) = sql("select last_result, refresh_at > now() from sources")
    assert (result["new"], result["removed"], result["unchanged"], due) == (1, 1, 1, True)


ARTICLES = """
create table articles (
    article_id bigint generated always as identity primary key, headline text, body text, lang text
)
"""


def test_rows_of_a_table_are_documents(
    sql: Sql, collection: UUID, working: Callable[[], AbstractContextManager[list[Worked]]]
) -> None:
    sql(ARTICLES)
    sql(
        "insert into articles (headline, body, lang) values "
        "('Bees', 'Bees dance.', 'en'), ('Ants', 'Ants march.', 'en'), (null, null, null)"
    )
    settings = {
        "table": "public.articles",
        "id": "article_id",
        "title": "headline",
        "content": "body",
        "metadata": ["lang"],
    }
    with working():
        sql(
            "insert into sources (collection_id, kind, settings) values (%s, 'table', %s)",
            collection,
            Jsonb(settings),
        )
        eventually(lambda: len(sql(FOUND, "bees ants")) == 2)
        assert sql("select source, title, metadata from documents order by source") == [
            ("1", "Bees", {"lang": "en"}),
            ("2", "Ants", {"lang": "en"}),
            ("3", "", {"lang": None}),
        ]
        sql("update articles set body = 'Bees hum.' where article_id = 1")
        assert sql(FOUND, "dance") == []
        eventually(lambda: sql(FOUND, "hum"))
        sql("update articles set article_id = default where article_id = 2")
        eventually(lambda: sql(FOUND, "march"))
        assert sql("select source from documents order by source") == [("1",), ("3",), ("4",)]
        sql("delete from articles where article_id = 4")
        assert sql(FOUND, "march") == []
        sql("truncate articles")
        assert sql("select count(*) from documents") == [(0,)]
        sql("delete from sources")
        sql("insert into articles (body) values ('Nobody follows this.')")
        assert sql("select count(*) from documents") == [(0,)]


def test_a_poisonous_job_is_taken_alone_and_given_up(
    sql: Sql, collection: UUID, working: Callable[[], AbstractContextManager[list[Worked]]]
) -> None:
    sql(ADD, collection, "good", "", "Fine.")
    sql(ADD, collection, "poison", "", "Whoever takes this dies.")
    sql(
        "update jobs set attempts = %s from documents as d "
        "where d.document_id = jobs.document_id and d.source = 'poison'",
        MAX_ATTEMPTS,
    )
    with working() as told:
        eventually(idle(sql))
    assert {one.event for one in told} == {"indexed", "dead"}
    assert sql("select reason from jobs") == [("Each worker that took it died.",)]


def test_an_ingested_document_may_be_edited_in_the_table(
    sql: Sql,
    collection: UUID,
    pool: ConnectionPool[psycopg.Connection[Any]],
    embedder: OnnxEmbedder,
    tmp_path: Path,
    working: Callable[[], AbstractContextManager[list[Worked]]],
) -> None:
    file = tmp_path / "a.md"
    file.write_text("# Head\n\nFrom a file.")
    splitter = Splitter(embedder.count_tokens, max_tokens=embedder.max_tokens)
    ingest = Ingest(PgStore(pool), embedder, splitter)
    ingest.run([str(file)], collection="notes")
    sql("update documents set metadata = %s", Jsonb({"lang": "en"}))
    assert sql("select metadata from chunks") == [({"lang": "en"},)]  # at once
    assert sql("select count(*) from jobs") == [(0,)]
    with working():
        sql("update documents set title = 'Estuary'")
        assert sql("select count(*) from chunks") == [(0,)]
        eventually(lambda: sql(FOUND, "estuary"))
        assert sql("select content from documents") == [("# Head\n\nFrom a file.",)]
        assert sql("select content, metadata from chunks") == [
            ("# Head\n\nFrom a file.", {"lang": "en"})
        ]
        sql("update documents set content = 'By hand.'")
        eventually(lambda: sql(FOUND, "hand"))
    assert ingest.run([str(file)], collection="notes").changed == 1
    assert sql("select content from documents") == [(None,)]
    assert sql("select content from chunks") == [("# Head\n\nFrom a file.",)]
