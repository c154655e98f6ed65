"""The migrations runner: whole or not at all, once, in order."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from model_pipeline.errors import ConfigurationError, StoreUnavailable
from model_pipeline.store import migrations
from model_pipeline.store.embedders import StoredEmbedder, stored_embedders
from model_pipeline.store.migrations import migrate, status

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def empty(database: str) -> Iterator[str]:
    name = "empty_for_migrations"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"create database {name}")
        yield make_conninfo(database, dbname=name)
        connection.execute(f"drop database {name} with (force)")


def stems() -> list[str]:
    return [path.stem for path in sorted((REPOSITORY / "supabase/migrations").glob("*.sql"))]


def test_applies_every_file_once_and_keeps_the_cli_history(empty: str) -> None:
    assert [m.applied for m in status(empty)] == [False] * len(stems())
    assert migrate(empty) == stems()
    assert migrate(empty) == []
    assert [f"{m.version}_{m.name}" for m in status(empty) if m.applied] == stems()
    with psycopg.connect(empty) as connection:
        rows = connection.execute(
            "select version || '_' || name from supabase_migrations.schema_migrations "
            "where cardinality(statements) > 0 order by 1"
        ).fetchall()
    assert rows == [(stem,) for stem in stems()]


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("onnx:all-MiniLM-L6-v2:int8:53aa5117-v2", "onnx:all-MiniLM-L6-v2"),
        ("sentence-transformers:org/model@abc", "sentence-transformers:org/model@abc"),
    ],
)
def test_an_embedder_that_was_noted_before_they_were_switched(
    empty: str, name: str, spec: str
) -> None:
    with psycopg.connect(empty, autocommit=True) as connection:
        for path in sorted((REPOSITORY / "supabase/migrations").glob("*.sql")):
            if path.stem.endswith("_reembed"):
                connection.execute(
                    "insert into embedder (name, dimensions) values (%s, 384)", (name,)
                )
            connection.execute(path.read_bytes())
        assert stored_embedders(connection) == [StoredEmbedder(name, 384, spec, "active")]


def test_two_at_once_apply_each_file_once(empty: str) -> None:
    with ThreadPoolExecutor(2) as threads:
        applied = list(threads.map(migrate, [empty, empty]))
    assert sorted(applied[0] + applied[1]) == stems()


def test_a_failing_file_leaves_nothing_and_is_named(database: str, tmp_path: Path) -> None:
    broken = tmp_path / "20990101000000_broken.sql"
    broken.write_text("create table half (n int);\nselect nonsense from half;")
    with psycopg.connect(database, autocommit=True) as connection:
        with pytest.raises(ConfigurationError, match=r"20990101000000_broken.sql .*nonsense"):
            migrations._apply(connection, "20990101000000", "broken", broken)
        assert connection.execute("select to_regclass('half')").fetchone() == (None,)
    assert all(m.version != "20990101000000" for m in status(database))


def test_a_slow_migration_outlives_the_statement_timeout(database: str, tmp_path: Path) -> None:
    slow = tmp_path / "20990101000000_slow.sql"
    slow.write_text("select pg_sleep(0.3); create table built ();")
    with psycopg.connect(
        database, autocommit=True, options="-c statement_timeout=100"
    ) as connection:
        assert migrations._apply(connection, "20990101000000", "slow", slow)
        assert not migrations._apply(connection, "20990101000000", "slow", slow)
        # Nothing stays with the connection: behind a pooler it is another's next.
        assert connection.execute("show statement_timeout").fetchone() == ("100ms",)
        held = connection.execute("select count(*) from pg_locks where locktype = 'advisory' "
                                  "and pid = pg_backend_pid()").fetchone()  # fmt: skip
        assert held == (0,)


def test_an_old_pgvector_is_refused(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("update pg_extension set extversion = '0.7.4' where extname = 'vector'")
        connection.execute("delete from supabase_migrations.schema_migrations")
    with pytest.raises(ConfigurationError, match=r"has pgvector 0\.7\.4, but 0\.8\.0 or newer"):
        migrate(database)


def test_a_newer_database_is_refused(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(
            "insert into supabase_migrations.schema_migrations values ('20990101000000', '{}', 'x')"
        )
    with pytest.raises(ConfigurationError, match=r"20990101000000.*update Promptly"):
        migrate(database)


HOSTED = """
create schema auth;
create function auth.uid() returns uuid language sql stable as
$f$ select (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid $f$;
create schema extensions;
create extension vector with schema extensions;
grant usage on schema auth, extensions to anon, authenticated, service_role;
grant usage, create on schema extensions, public to {user};
alter default privileges for role {user} in schema public
grant all on tables to anon, authenticated, service_role;
grant anon, authenticated, service_role to {user};
"""
GRANTS = """
select c.relname, a.grantee::regrole::text, a.privilege_type
from pg_class as c, aclexplode(c.relacl) as a
where c.relnamespace = 'public'::regnamespace
    and a.grantee in ('anon'::regrole, 'authenticated'::regrole) order by 1, 2, 3
"""


def test_a_hosted_project_whose_user_is_no_superuser(empty: str, database: str, role: str) -> None:
    name = conninfo_to_dict(empty)["dbname"]
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute(f"alter role {role} createrole createdb bypassrls")
        connection.execute(f"alter database {name} owner to {role}")
        connection.execute(HOSTED.format(user=role).encode())
    try:
        assert migrate(make_conninfo(empty, user=role)) == stems()
        with psycopg.connect(empty) as hosted, psycopg.connect(database) as elsewhere:
            # Hosted Supabase grants everything on new tables to everybody.
            assert hosted.execute(GRANTS).fetchall() == elsewhere.execute(GRANTS).fetchall()
    finally:
        with psycopg.connect(empty, autocommit=True) as connection:
            connection.execute(f"reassign owned by {role} to postgres")
            connection.execute(f"drop owned by {role}")


def test_no_database_there(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="does not answer"):
        migrate(f"host={tmp_path} user=postgres dbname=postgres")


def test_deny_by_default(database: str) -> None:
    with psycopg.connect(database) as connection:
        open_tables = connection.execute(
            "select relname from pg_class where relnamespace = 'public'::regnamespace "
            "and relkind = 'r' and not relrowsecurity"
        ).fetchall()
        past_policies = connection.execute(
            "select relname from pg_class where relnamespace = 'public'::regnamespace "
            "and relkind = 'v' and not 'security_invoker=true' = any(coalesce(reloptions, '{}'))"
        ).fetchall()
        by_column = connection.execute(
            "select table_name || ' ' || lower(privilege_type), "
            "string_agg(column_name, ' ' order by column_name) "
            "from information_schema.role_column_grants where grantee = 'authenticated' and "
            "privilege_type in ('INSERT', 'UPDATE') and table_name not in ('members', 'sources') "
            "group by 1"
        ).fetchall()
        granted = connection.execute(
            "select grantee, privilege_type, array_agg(table_name::text order by table_name) "
            "from information_schema.role_table_grants where table_schema = 'public' "
            "and grantee in ('anon', 'authenticated', 'PUBLIC') group by 1, 2"
        ).fetchall()
    seen = """
    chunk_lexemes chunks collection_statistics collections documents lexeme_statistics
    loadable_chunks
    """.split()
    own = """
    answers conversations embedder feedback jobs loadable_feedback loadable_pairs loadable_rated
    members reviews sources verdicts
    """.split()
    chunk = (
        "collection_id content context document_id embedding heading_path metadata ordinal start_at"
    )
    document = "chunk_count collection_id content content_hash metadata origin source title"
    assert open_tables == past_policies == []
    assert {(who, what): tables for who, what, tables in granted} == {
        ("anon", "SELECT"): seen,
        ("authenticated", "SELECT"): sorted([*seen, *own]),
        ("authenticated", "INSERT"): ["members"],
        ("authenticated", "UPDATE"): ["members"],
        (
            "authenticated",
            "DELETE",
        ): "chunks collections documents feedback members sources".split(),
    }
    # Nobody sets a row's times or gives it to another, nor sets its id: that could be one taken.
    assert dict(by_column) == {
        "answers insert": "answer citations collection declined question release_id user_id",
        "chunks insert": chunk,
        "chunks update": chunk,
        "collections insert": "name owner_id visibility",
        "collections update": "name owner_id visibility",
        "documents insert": document,
        "documents update": document + " updated_at",
        "feedback insert": "answer_id comment corrected_answer harm rating user_id",
        "feedback update": "comment corrected_answer harm rating",
        "reviews insert": "answer_id comment level signature user_id",
    }
