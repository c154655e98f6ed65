"""Each check: the thing is broken for real, named, mended where that is safe, and well again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from model_pipeline.errors import Unavailable
from model_pipeline.reembed import cancel, confirm
from model_pipeline.store import standby
from model_pipeline.store.connect import open_pool
from model_pipeline.store.diagnosis import Finding, contents, diagnose, schema, server
from model_pipeline.store.diagnosis.verdict import Subject
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.rows import EmbeddedDocument
from model_pipeline.store.standby import alone

MakeDocument = Callable[..., EmbeddedDocument]
EMBEDDER = ("test", 384)


@pytest.fixture
def filled(database: str, embedded: MakeDocument) -> str:
    """A database with documents in two collections."""
    with open_pool(database, min_size=1, max_size=1) as pool:
        store = PgStore(pool)
        store.register_embedder(*EMBEDDER)
        for name in ("manuals", "notes"):
            batch = [embedded(f"{name}.md", ("Apples and pears. ", "Pears, a cat. "))]
            store.replace_documents(store.ensure_collection(name), batch)
    return database


def execute(conninfo: str, *statements: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def rows(conninfo: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


def unwell(conninfo: str, **options: Any) -> dict[str, Finding]:
    findings = diagnose(conninfo, **({"embedder": EMBEDDER} | options))
    return {one.name: one for one in findings if one.state != "ok" or one.mended}


def mend_and_see(conninfo: str, name: str, words: str) -> str:
    """That `name` alone is wrong, in these words, and is well once mended; what was done for it."""
    before = unwell(conninfo)
    assert [*before] == [name]
    assert words in before[name].detail
    assert before[name].fixable
    mended = unwell(conninfo, fix=True)
    assert [*mended] == [name]
    assert mended[name].state == "ok", mended[name].detail
    assert unwell(conninfo) == {}
    return mended[name].mended


def test_a_sound_store_is_well(filled: str) -> None:
    assert unwell(filled, deep=True) == {}
    assert unwell(filled, fix=True) == {}


def test_what_ought_to_be_there_is_read_from_the_migrations(database: str) -> None:
    there = rows(
        database,
        "select tablename from pg_tables where schemaname = 'public'",
    )
    assert {name for (name,) in there} == set(schema.tables())
    there = rows(
        database,
        "select indexname from pg_indexes where schemaname = 'public' and not exists "
        "(select from pg_constraint as c where c.conname = indexname)",
    )
    assert {name for (name,) in there} == set(schema.index_definitions())


def test_missing_migrations(database: str) -> None:
    name = f"empty_{uuid4().hex}"
    execute(database, f"create database {name}")
    empty = make_conninfo(database, dbname=name)
    try:
        found = unwell(empty)
        assert "`promptly db migrate`" in found["schema"].detail
        assert "not in this database" in found["pgvector"].detail
        assert [*found] == ["pgvector", "schema"]  # the rest waits for the schema
        assert unwell(empty, fix=True)["schema"].mended.startswith("applied 2026")
        assert unwell(empty) == {}
    finally:
        execute(database, f"drop database {name} with (force)")


def test_a_database_newer_than_the_program(database: str) -> None:
    execute(
        database,
        "insert into supabase_migrations.schema_migrations values ('20990101000000', '{}', 'x')",
    )
    found = unwell(database, fix=True)["schema"]
    assert (found.state, found.fixable) == ("error", False)
    assert "20990101000000): update Promptly" in found.detail


@pytest.mark.parametrize(
    ("version", "state", "words"),
    [
        (
            "0.7.4",
            "error",
            "too old, 0.8.0 or newer is needed: run `alter extension vector update`",
        ),
        ("0.8.1", "warning", "can damage the index"),
        ("0.8.4", "ok", "0.8.4"),
        ("0.10.0", "ok", "0.10.0"),
    ],
)
def test_old_pgvector(database: str, version: str, state: str, words: str) -> None:
    execute(database, f"update pg_extension set extversion = '{version}' where extname = 'vector'")
    (found,) = [one for one in diagnose(database) if one.name == "pgvector"]
    assert found.state == state
    assert words in found.detail


def test_row_level_security(filled: str) -> None:
    execute(filled, "alter table chunks disable row level security")
    mended = mend_and_see(filled, "row level security", "off on chunks, so that")
    assert mended == "switched on for chunks"


def test_a_switch_to_another_embedder(filled: str) -> None:
    """Each state of it, made by hand."""
    column = "alter table chunks add column embedding_standby extensions.halfvec(8)"
    execute(filled, column)
    assert "its column" in unwell(filled)["switch"].detail
    execute(
        filled,
        "alter table chunks drop column embedding_standby",
        "insert into embedder (name, dimensions, state) values ('other', 8, 'next')",
    )
    assert "`promptly reembed cancel` clears it away" in unwell(filled)["switch"].detail
    cancel(filled)
    assert unwell(filled) == {}

    execute(
        filled,
        column,
        "insert into embedder (name, dimensions, spec, state) values ('other', 8, 'it', 'next')",
    )
    assert "`promptly reembed --model it` goes on" in unwell(filled)["switch"].detail
    with alone(filled):
        assert unwell(filled) == {}
    execute(filled, "update embedder set state = 'previous' where not active")
    assert "The index over the vectors of other is missing" in unwell(filled)["switch"].detail
    execute(filled, f"create index {standby.INDEX} {standby.DEFINITION}")
    assert unwell(filled) == {}
    execute(filled, "update embedder set registered_at = now() - interval '8 days'")
    assert "8 days ago and is not confirmed" in unwell(filled)["switch"].detail
    confirm(filled)
    assert unwell(filled) == {}


@pytest.mark.parametrize("name", ["chunks_embedding", "documents_metadata"])
def test_a_missing_index(filled: str, name: str) -> None:
    before = rows(filled, f"select indexdef from pg_indexes where indexname = '{name}'")
    execute(filled, f"drop index {name}")
    assert mend_and_see(filled, "indexes", f"{name} is missing") == f"built {name}"
    assert rows(filled, f"select indexdef from pg_indexes where indexname = '{name}'") == before


def test_an_invalid_index(filled: str) -> None:
    execute(
        filled,
        "update pg_index set indisvalid = false where indexrelid = 'chunks_embedding'::regclass",
    )
    mended = mend_and_see(filled, "indexes", "chunks_embedding is invalid")
    assert mended == "built chunks_embedding"


def test_what_a_failed_build_left(filled: str) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation):
        execute(filled, "create unique index concurrently mine on chunks (ordinal)")
    found = unwell(filled, fix=True)["indexes"]
    assert (found.state, found.fixable) == ("warning", False)
    assert "`drop index mine`" in found.detail
    execute(filled, "drop index mine")
    assert unwell(filled) == {}


@pytest.mark.parametrize(
    "kind",
    [
        "hnsw (embedding extensions.halfvec_cosine_ops)",
        "ivfflat (embedding extensions.halfvec_ip_ops)",
    ],
)
def test_a_wrong_operator_class(filled: str, kind: str) -> None:
    execute(
        filled,
        "drop index chunks_embedding",
        f"create index chunks_embedding on chunks using {kind}",
    )
    mended = mend_and_see(filled, "operator class", "needs (hnsw halfvec_ip_ops)")
    assert mended == "built chunks_embedding"


def test_building_waits_for_nobody_long(filled: str) -> None:
    """A mend that cannot have its lock says so, leaves nothing, and works later."""
    execute(filled, "drop index chunks_embedding")
    with psycopg.connect(filled) as other:
        other.execute("lock table chunks in row exclusive mode")
        connection = server.connect(filled)
        with connection:
            subject = Subject(filled, connection, EMBEDDER, False, lock_timeout_s=0.2)
            with pytest.raises(Unavailable, match=r"kept a table locked for 0\.2 s"):
                schema.mend_indexes(subject)
    mend_and_see(filled, "indexes", "chunks_embedding is missing")


def test_a_user_without_rights_gets_a_sentence(filled: str, role: str) -> None:
    as_role = make_conninfo(filled, user=role)
    found = unwell(as_role)
    assert [*found] == ["schema"]
    assert "may not do this (permission denied" in found["schema"].detail
    execute(
        filled,
        f"grant usage on schema supabase_migrations, extensions to {role}",
        f"grant select on all tables in schema supabase_migrations to {role}",
        f"grant select on all tables in schema public to {role}",
        "alter table chunks disable row level security",
    )
    found = unwell(as_role, fix=True)
    assert [*found] == ["row level security", "rights"]
    assert "It could not be mended: The database user may not" in found["row level security"].detail
    assert f"user {role} lacks rights (delete on answers" in found["rights"].detail
    execute(
        filled,
        f"grant all on all tables in schema public to {role}",
        "alter table chunks enable row level security",
    )
    found = unwell(as_role)
    assert (found["rights"].state, [*found]) == ("warning", ["rights"])
    assert "hides rows" in found["rights"].detail


def test_another_embedder(filled: str) -> None:
    (found,) = [
        one for one in diagnose(filled, embedder=("other", 384), fix=True) if one.state != "ok"
    ]
    assert (found.name, found.state, found.fixable) == ("vectors", "error", False)
    assert "were made by test, and other is set: unset PROMPTLY_EMBEDDER" in found.detail
    execute(filled, "update embedder set dimensions = 3")
    assert "takes 384 dimensions, and test makes 3" in unwell(filled)["vectors"].detail
    execute(filled, "delete from embedder")
    assert "not noted whose vectors" in unwell(filled)["vectors"].detail
    execute(filled, "delete from collections")
    assert unwell(filled) == {}


REPLICA = "set session_replication_role = replica"  # triggers and foreign keys rest


def test_orphan_lexemes_and_chunks_without(filled: str) -> None:
    statistics = "select * from lexeme_statistics order by 1, 2"
    before = rows(filled, statistics)
    execute(
        filled,
        REPLICA,
        "delete from chunk_lexemes where chunk_id = (select min(chunk_id::text)::uuid from chunks)",
        "insert into chunk_lexemes select gen_random_uuid(), collection_id, lexemes, length "
        "from chunk_lexemes limit 2",
    )
    found = unwell(filled)
    assert [*found] == ["orphans", "statistics"]
    assert "2 rows of chunk_lexemes without a chunk and 1 chunk that" in found["orphans"].detail
    mended = unwell(filled, fix=True)
    # The statistics never counted the orphans: without them they are right again.
    assert [(one.name, one.state) for one in mended.values()] == [("orphans", "ok")]
    assert unwell(filled) == {}
    assert rows(filled, statistics) == before


def test_chunks_without_a_document_are_told_and_left(filled: str) -> None:
    execute(filled, REPLICA, "delete from documents where source = 'notes.md'")
    found = unwell(filled, fix=True)["orphans"]
    assert (found.state, found.fixable) == ("error", False)
    assert "2 chunks without a document" in found.detail
    assert rows(filled, "select count(*) from chunks") == [(4,)]


def test_documents_without_some_chunks(filled: str) -> None:
    execute(filled, "delete from chunks where ordinal = 1")
    found = unwell(filled, fix=True)["orphans"]
    assert (found.state, found.fixable) == ("error", False)
    assert "2 documents without some of the chunks" in found.detail


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("delete from lexeme_statistics where lexeme = 'pear'", "0 collections and 2 lexemes"),
        ("update collection_statistics set total_length = 1", "2 collections and 0 lexemes"),
        ("delete from collection_statistics", "2 collections and 0 lexemes"),
        (
            "insert into lexeme_statistics select collection_id, 'ghost', 3 from collections",
            "0 collections and 2 lexemes",
        ),
        ("delete from chunks where ordinal = 0", "2 collections"),
    ],
)
def test_drifted_statistics(filled: str, damage: str, words: str) -> None:
    execute(filled, REPLICA, damage, "delete from chunk_lexemes where chunk_id not in "
            "(select chunk_id from chunks)",
            "update documents set chunk_count = (select count(*) from chunks "
            "where chunks.document_id = documents.document_id)")  # fmt: skip
    mended = mend_and_see(filled, "statistics", words)
    assert mended == "counted anew from chunk_lexemes"
    # As if the triggers had never been off: emptied by them, nothing is left.
    execute(filled, "delete from chunks")
    assert rows(filled, "select * from lexeme_statistics") == []
    assert rows(filled, "select distinct chunk_count, total_length from collection_statistics") == [
        (0, 0)
    ]


def test_statistics_are_mended_beside_writers(filled: str, embedded: MakeDocument) -> None:
    """Whoever writes meanwhile is counted once, and nobody fails."""
    stop = threading.Event()

    def write(collection: str) -> int:
        with open_pool(filled, min_size=1, max_size=1) as pool:
            store, rounds = PgStore(pool), 0
            store.register_embedder(*EMBEDDER)
            while not stop.is_set():
                collection_id = store.ensure_collection(collection)
                batch = [embedded(f"{n}.md", (f"Pears {rounds}. ",)) for n in range(5)]
                store.replace_documents(collection_id, batch)
                if collection == "passing":
                    with pool.connection() as connection:
                        connection.execute("delete from collections where name = 'passing'")
                rounds += 1
            return rounds

    connection = server.connect(filled)
    with connection, ThreadPoolExecutor(3) as threads:
        writers = [threads.submit(write, name) for name in ("manuals", "notes", "passing")]
        subject = Subject(filled, connection, EMBEDDER, deep=True)
        try:
            for _ in range(15):
                contents.mend_orphans(subject)
                contents.mend_statistics(subject)
        finally:
            stop.set()
        assert min(writer.result() for writer in writers) > 3
    assert "statistics" not in unwell(filled)
    assert "orphans" not in unwell(filled)


def test_a_large_store_is_read_whole_only_when_asked(filled: str) -> None:
    execute(filled, REPLICA, "delete from collection_statistics")
    connection = server.connect(filled)
    with connection:
        large = Subject(filled, connection, EMBEDDER, deep=False, small_bytes=0)
        for look in (contents.orphans, contents.statistics):
            verdict = look(large)
            assert verdict.state == "ok"
            assert "--deep" in verdict.detail
        deep = Subject(filled, connection, EMBEDDER, deep=True, small_bytes=0)
        assert contents.statistics(deep).state == "error"


def fill_with_small_vectors(conninfo: str, chunks: int) -> None:
    execute(
        conninfo,
        "drop index chunks_embedding",
        "alter table chunks alter column embedding type extensions.halfvec(3)",
        "insert into embedder (name, dimensions) values ('test', 3)",
        "insert into collections (name) values ('many')",
        "insert into documents (collection_id, source, content_hash, chunk_count) "
        f"select collection_id, 'many', '', {chunks} from collections",
        "insert into chunks (collection_id, document_id, ordinal, start_at, content, embedding) "
        "select collection_id, document_id, n, 0, 'x', "
        "array[random(), random(), random()]::extensions.halfvec "
        f"from documents, generate_series(1, {chunks}) as n",
    )


def test_the_planner_and_its_statistics(database: str) -> None:
    fill_with_small_vectors(database, 6000)
    found = unwell(database, embedder=("test", 3))
    assert [*found] == ["indexes", "planner statistics", "planner"]
    assert "are out of date" in found["planner statistics"].detail
    assert "without the index over vectors" in found["planner"].detail
    mended = unwell(database, embedder=("test", 3), fix=True)
    assert [(one.name, one.state) for one in mended.values()] == [
        ("indexes", "ok"),
        ("planner statistics", "ok"),
    ]
    assert mended["planner statistics"].mended == "analyzed chunk_lexemes, chunks"
    assert unwell(database, embedder=("test", 3)) == {}
    name = conninfo_to_dict(database)["dbname"]
    for setting in ("enable_indexscan = off", "random_page_cost = 10000"):
        execute(database, f"alter database {name} set {setting}")
    found = unwell(database, embedder=("test", 3), fix=True)
    assert [*found] == ["planner"]
    assert "enable_indexscan" in found["planner"].detail
    assert (found["planner"].state, found["planner"].fixable) == ("error", False)
