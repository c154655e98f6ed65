"""`promptly db migrate` and the Supabase CLI: the same schema and history, whoever applies what."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from model_pipeline.store import migrations
from model_pipeline.store.embedded import binaries
from model_pipeline.store.migrations import migrate, statements, status
from tests.servers import pgbouncer, supabase_cli

MIGRATIONS = supabase_cli.PROJECT / "supabase/migrations"
Push = Callable[..., str]


@pytest.fixture(scope="module")
def push(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Push]:
    """Applies migrations by the CLI, which needs a TCP port: through a session pooler, as on hosted
    Supabase."""
    if not supabase_cli.PROGRAM.exists():
        pytest.skip("the Supabase CLI is not installed: sh tests/servers/install-node.sh supabase")
    if pgbouncer.program() is None:
        pytest.skip("PgBouncer is not installed: `make unit` installs it where it can")
    folder = tmp_path_factory.mktemp("session-pooler")
    with pgbouncer.running(server, folder, pool_mode="session") as port:

        def apply(database: str, **more: Any) -> str:
            name = conninfo_to_dict(database)["dbname"]
            url = f"postgresql://postgres:any@127.0.0.1:{port}/{name}?sslmode=disable"
            return supabase_cli.push(url, folder, **more)

        yield apply


@pytest.fixture
def empty(server: str) -> Iterator[str]:
    name = f"both_tools_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"create database {name}")
        yield make_conninfo(server, dbname=name)
        connection.execute(f"drop database {name} with (force)")


def schema(database: str) -> list[str]:
    given = conninfo_to_dict(database)
    names = ["-h", given["host"], "-U", given["user"], given["dbname"]]
    command = [binaries() / "pg_dump", "--schema-only", *map(str, names)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in lines if not line.startswith(("\\restrict ", "\\unrestrict "))]


def history(database: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database) as connection:
        return connection.execute(
            "select version, name, statements from supabase_migrations.schema_migrations order by 1"
        ).fetchall()


def test_either_tool_leaves_the_same_and_nothing_to_do_for_the_other(
    empty: str, database: str, push: Push
) -> None:
    said = push(empty)
    assert all(path.name in said for path in MIGRATIONS.glob("*.sql"))
    assert migrate(empty) == []
    assert all(one.applied for one in status(empty))
    assert schema(empty) == schema(database)  # which `promptly db migrate` made
    assert history(empty) == history(database)

    assert "up to date" in push(database)
    assert history(empty) == history(database)


def test_promptly_goes_on_where_the_cli_stopped(
    empty: str, database: str, push: Push, tmp_path: Path
) -> None:
    paths = sorted(MIGRATIONS.glob("*.sql"))
    half = tmp_path / "supabase/migrations"
    half.mkdir(parents=True)
    for path in paths[: len(paths) // 2]:
        shutil.copy(path, half)
    push(empty, project=tmp_path)
    assert len(history(empty)) == len(paths) // 2
    assert migrate(empty) == [path.stem for path in paths[len(paths) // 2 :]]
    assert schema(empty) == schema(database)
    assert history(empty) == history(database)


def test_the_cli_goes_on_where_promptly_stopped(empty: str, database: str, push: Push) -> None:
    paths = sorted(MIGRATIONS.glob("*.sql"))
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute(migrations.HISTORY)
        for path in paths[: len(paths) // 2]:
            version, _, name = path.stem.partition("_")
            migrations._apply(connection, version, name, path)
    said = push(empty)
    assert [path.name in said for path in paths] == [
        n >= len(paths) // 2 for n in range(len(paths))
    ]
    assert schema(empty) == schema(database)
    assert history(empty) == history(database)


def test_statements_end_at_semicolons_that_are_no_part_of_them() -> None:
    assert statements(
        "-- one; it's\nselect ';', 'it''s;' as \"a;b\" /* no; ' */ ;;\n"
        "do $x$ begin perform 1; end $x$;\n-- the end;\n"
    ) == [
        "-- one; it's\nselect ';', 'it''s;' as \"a;b\" /* no; ' */",
        "do $x$ begin perform 1; end $x$",
        "-- the end;",
    ]
