"""Applies supabase/migrations/*.sql, keeping the history as the Supabase CLI does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from model_pipeline.errors import ConfigurationError
from model_pipeline.store.connect import connection_arguments, for_libpq, translate_errors

OLDEST_PGVECTOR = (0, 8, 0)
LOCK_KEY = 7_221_640_035  # any number, the same in every process
HISTORY = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (
    version text primary key, statements text[], name text
)
"""
# A semicolon ends a statement save in what stands before it here: comments, quotes, dollar quotes.
ENDS = re.compile(
    r"""--[^\n]* | /\*.*?\*/ | '(?:[^']|'')*' | "[^"]*" | (\$\w*\$).*?\1 | (?P<end>;)""",
    re.DOTALL | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Migration:
    version: str
    name: str
    applied: bool


def migrate(conninfo: str) -> list[str]:
    """Apply what is missing, each file in one transaction; returns the applied files' stems.

    Raises ConfigurationError naming the file that failed, which then left nothing behind, and
    where the database is newer than the program.
    """
    with _connection(conninfo) as connection:
        done = _history(connection)
        require_known(done)
        if len(done) == len(_files()):
            return []
        _require_pgvector(connection)
        with _alone(connection):
            connection.execute(HISTORY)
        return [
            path.stem
            for version, name, path in _files()
            if version not in done and _apply(connection, version, name, path)
        ]


def status(conninfo: str) -> list[Migration]:
    """Every migration this program knows or the database has, oldest first."""
    with _connection(conninfo) as connection:
        done = _history(connection)
    known = {version: name for version, name, _ in _files()}
    return [
        Migration(version, name, version in done)
        for version, name in sorted((done | known).items())
    ]


def require_known(done: Iterable[str]) -> None:
    """Raises ConfigurationError where the database is newer than the program."""
    unknown = sorted(set(done) - {version for version, _, _ in _files()})
    if unknown:
        raise ConfigurationError(
            f"The database has migrations that this version of Promptly does not know "
            f"({', '.join(unknown)}): update Promptly."
        )


def text() -> str:
    """All migrations, one after the other."""
    return "\n".join(path.read_text(encoding="utf-8") for _, _, path in _files())


def statements(content: str) -> list[str]:
    """A file's statements as the Supabase CLI writes them to the history: each with the comments
    before it, without its semicolon."""
    ends = [found.start() for found in ENDS.finditer(content) if found["end"]]
    starts = [0, *(end + 1 for end in ends)]
    pieces = [content[a:b] for a, b in zip(starts, [*ends, None], strict=True)]
    return [piece.strip() for piece in pieces if piece.strip()]


@contextmanager
def _connection(conninfo: str) -> Iterator[psycopg.Connection[Any]]:
    # A file's many statements cannot be prepared as one.
    arguments = connection_arguments(conninfo) | {"prepare_threshold": None}
    with translate_errors(), psycopg.connect(for_libpq(conninfo), **arguments) as connection:
        yield connection


@contextmanager
def _alone(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """A transaction beside which no other process migrates, with as much time as it takes. Its lock
    and its setting end with it: a transaction pooler would lend a session's to others."""
    with connection.transaction():
        connection.execute("set local statement_timeout = 0")
        connection.execute("select pg_advisory_xact_lock(%s)", (LOCK_KEY,))
        yield


def _files() -> list[tuple[str, str, Path]]:
    """(version, name, path) of each migration, in order."""
    inside_wheel = Path(__file__).parent / "migrations"
    in_repository = Path(__file__).parents[2] / "supabase" / "migrations"
    folder = inside_wheel if inside_wheel.is_dir() else in_repository
    paths = sorted(folder.glob("*.sql"))
    if not paths:
        raise ConfigurationError(f"No migrations in {folder}: the installation is incomplete.")
    split = [(*path.stem.partition("_"), path) for path in paths]
    return [(version, name, path) for version, _, name, path in split]


def _history(connection: psycopg.Connection[Any]) -> dict[str, str]:
    there = connection.execute(
        "select to_regclass('supabase_migrations.schema_migrations') is not null"
    ).fetchone()
    if not there or not there[0]:
        return {}
    rows = connection.execute("select version, name from supabase_migrations.schema_migrations")
    return {version: name or "" for version, name in rows}


def _apply(connection: psycopg.Connection[Any], version: str, name: str, path: Path) -> bool:
    """False where another process has applied it meanwhile."""
    content = path.read_text(encoding="utf-8")
    try:
        with _alone(connection):
            if version in _history(connection):
                return False
            connection.execute(content.encode())
            connection.execute(
                "insert into supabase_migrations.schema_migrations (version, statements, name) "
                "values (%s, %s, %s)",
                (version, statements(content), name),
            )
            return True
    except psycopg.errors.DiskFull:
        raise
    except psycopg.DatabaseError as error:
        if connection.broken:
            raise
        reason = str(error).strip().splitlines()[0]
        raise ConfigurationError(
            f"Migration {path.name} failed and was rolled back: {reason}"
        ) from error


def _require_pgvector(connection: psycopg.Connection[Any]) -> None:
    row = connection.execute(
        "select coalesce(installed_version, default_version) from pg_available_extensions "
        "where name = 'vector'"
    ).fetchone()
    wanted = ".".join(map(str, OLDEST_PGVECTOR))
    if row is None:
        raise ConfigurationError(
            f"The database server has no pgvector: install version {wanted} or newer on it."
        )
    if tuple(int(part) for part in row[0].split(".")[:3]) < OLDEST_PGVECTOR:
        raise ConfigurationError(
            f"The database has pgvector {row[0]}, but {wanted} or newer is needed: update it (a "
            "newer one on the server is taken up by `alter extension vector update`)."
        )
