"""Each check: the thing is broken for real, named, mended where that is safe, and well again."""

from __future__ import annotations

from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from model_pipeline.errors import Unavailable
from model_pipeline.reembed import cancel, confirm
from model_pipeline.store import standby
from model_pipeline.store.diagnosis import diagnose, schema, server
from model_pipeline.store.diagnosis.verdict import Subject
from model_pipeline.store.standby import alone
from tests.model_pipeline.store.diagnosing import EMBEDDER, execute, mend_and_see, rows, unwell


def test_a_sound_store_is_well(sound: str) -> None:
    assert unwell(sound, deep=True) == {}
    assert unwell(sound, fix=True) == {}


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


def test_row_level_security(sound: str) -> None:
    execute(sound, "alter table chunks disable row level security")
    mended = mend_and_see(sound, "row level security", "off on chunks, so that")
    assert mended == "switched on for chunks"


def test_a_switch_to_another_embedder(sound: str) -> None:
    """Each state of it, made by hand."""
    column = "alter table chunks add column embedding_standby extensions.halfvec(8)"
    execute(sound, column)
    assert "its column" in unwell(sound)["switch"].detail
    execute(
        sound,
        "alter table chunks drop column embedding_standby",
        "insert into embedder (name, dimensions, state) values ('other', 8, 'next')",
    )
    assert "`promptly reembed cancel` clears it away" in unwell(sound)["switch"].detail
    cancel(sound)
    assert unwell(sound) == {}

    execute(
        sound,
        column,
        "insert into embedder (name, dimensions, spec, state) values ('other', 8, 'it', 'next')",
    )
    assert "`promptly reembed --model it` goes on" in unwell(sound)["switch"].detail
    with alone(sound):
        assert unwell(sound) == {}
    execute(sound, "update embedder set state = 'previous' where not active")
    assert "The index over the vectors of other is missing" in unwell(sound)["switch"].detail
    execute(sound, f"create index {standby.INDEX} {standby.DEFINITION}")
    assert unwell(sound) == {}
    execute(sound, "update embedder set registered_at = now() - interval '8 days'")
    assert "8 days ago and is not confirmed" in unwell(sound)["switch"].detail
    confirm(sound)
    assert unwell(sound) == {}


@pytest.mark.parametrize("name", ["chunks_embedding", "documents_metadata"])
def test_a_missing_index(sound: str, name: str) -> None:
    before = rows(sound, f"select indexdef from pg_indexes where indexname = '{name}'")
    execute(sound, f"drop index {name}")
    assert mend_and_see(sound, "indexes", f"{name} is missing") == f"built {name}"
    assert rows(sound, f"select indexdef from pg_indexes where indexname = '{name}'") == before


def test_an_invalid_index(sound: str) -> None:
    execute(
        sound,
        "update pg_index set indisvalid = false where indexrelid = 'chunks_embedding'::regclass",
    )
    mended = mend_and_see(sound, "indexes", "chunks_embedding is invalid")
    assert mended == "built chunks_embedding"


def test_what_a_failed_build_left(sound: str) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation):
        execute(sound, "create unique index concurrently mine on chunks (ordinal)")
    found = unwell(sound, fix=True)["indexes"]
    assert (found.state, found.fixable) == ("warning", False)
    assert "`drop index mine`" in found.detail
    execute(sound, "drop index mine")
    assert unwell(sound) == {}


@pytest.mark.parametrize(
    "kind",
    [
        "hnsw (embedding extensions.halfvec_cosine_ops)",
        "ivfflat (embedding extensions.halfvec_ip_ops)",
    ],
)
def test_a_wrong_operator_class(sound: str, kind: str) -> None:
    execute(
        sound,
        "drop index chunks_embedding",
        f"create index chunks_embedding on chunks using {kind}",
    )
    mended = mend_and_see(sound, "operator class", "needs (hnsw halfvec_ip_ops)")
    assert mended == "built chunks_embedding"


def test_building_waits_for_nobody_long(sound: str) -> None:
    """A mend that cannot have its lock says so, leaves nothing, and works later."""
    execute(sound, "drop index chunks_embedding")
    with psycopg.connect(sound) as other:
        other.execute("lock table chunks in row exclusive mode")
        connection = server.connect(sound)
        with connection:
            subject = Subject(sound, connection, EMBEDDER, False, lock_timeout_s=0.2)
            with pytest.raises(Unavailable, match=r"kept a table locked for 0\.2 s"):
                schema.mend_indexes(subject)
    mend_and_see(sound, "indexes", "chunks_embedding is missing")


def test_a_user_without_rights_gets_a_sentence(sound: str, role: str) -> None:
    as_role = make_conninfo(sound, user=role)
    found = unwell(as_role)
    assert [*found] == ["schema"]
    assert "may not do this (permission denied" in found["schema"].detail
    execute(
        sound,
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
        sound,
        f"grant all on all tables in schema public to {role}",
        "alter table chunks enable row level security",
    )
    found = unwell(as_role)
    assert (found["rights"].state, [*found]) == ("warning", ["rights"])
    assert "hides rows" in found["rights"].detail


def test_another_embedder(sound: str) -> None:
    (found,) = [
        one for one in diagnose(sound, embedder=("other", 384), fix=True) if one.state != "ok"
    ]
    assert (found.name, found.state, found.fixable) == ("vectors", "error", False)
    assert "were made by test, and other is set: unset PROMPTLY_EMBEDDER" in found.detail
    execute(sound, "update embedder set dimensions = 3")
    assert "takes 384 dimensions, and test makes 3" in unwell(sound)["vectors"].detail
    execute(sound, "delete from embedder")
    assert "not noted whose vectors" in unwell(sound)["vectors"].detail
    execute(sound, "delete from collections")
    assert unwell(sound) == {}
