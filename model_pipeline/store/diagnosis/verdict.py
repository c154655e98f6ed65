"""What checks share: the verdict they give, and the way they reach the database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psycopg

from model_pipeline.errors import Unavailable
from model_pipeline.store.connect import translate_errors

State = Literal["ok", "warning", "error"]
QUERIES = Path(__file__).parents[1] / "sql" / "doctor"
# Of chunk_lexemes, some 60,000 chunks: all of it is read within 3 s. Where it is larger, it is read
# only when that is asked for.
SMALL_BYTES = 64_000_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """`detail` is one sentence: what was found and, unless all is well, what to do."""

    state: State
    detail: str
    fixable: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """The database under examination. `embedder` is (name, dimensions) of the one that is set."""

    conninfo: str
    connection: psycopg.Connection[Any]
    embedder: tuple[str, int] | None
    deep: bool
    small_bytes: int = SMALL_BYTES
    lock_timeout_s: float = 10

    @contextmanager
    def transaction(self, *, patient: bool = False) -> Iterator[psycopg.Connection[Any]]:
        """Settings that end with the transaction: a pooler would lend a session's to others.
        `patient` is for work that may take long; for others' locks nobody waits long."""
        with (
            translate_errors(),
            _told_when_locked(self.lock_timeout_s),
            self.connection.transaction(),
        ):
            self.connection.execute("set local search_path = public, extensions")
            self.connection.execute(f"set local lock_timeout = '{self.lock_timeout_s}s'".encode())
            if patient:
                self.connection.execute("set local statement_timeout = 0")
            yield self.connection

    def rows(
        self, query: str, arguments: Mapping[str, Any] | None = None, *, patient: bool = False
    ) -> list[tuple[Any, ...]]:
        """The rows of a query, or of the file of that name in sql/doctor."""
        text = (QUERIES / query).read_text(encoding="utf-8") if query.endswith(".sql") else query
        with self.transaction(patient=patient) as connection:
            return connection.execute(text.encode(), arguments).fetchall()

    def run(self, file: str) -> None:
        """The statements of a file in sql/doctor, in one transaction."""
        with self.transaction(patient=True) as connection:
            connection.execute((QUERIES / file).read_bytes())

    def readable(self) -> bool:
        """Whether what reads every row may do so."""
        if self.deep:
            return True
        ((size,),) = self.rows("select pg_table_size('chunk_lexemes')")
        return bool(size <= self.small_bytes)


@contextmanager
def _told_when_locked(seconds: float) -> Iterator[None]:
    try:
        yield
    except psycopg.errors.LockNotAvailable as failed:
        raise Unavailable(
            f"Another program kept a table locked for {seconds:g} s: try again when it is done."
        ) from failed


def fine(detail: str) -> Verdict:
    return Verdict("ok", detail)


def warning(detail: str, *, fixable: bool = False) -> Verdict:
    return Verdict("warning", detail, fixable)


def error(detail: str, *, fixable: bool = False) -> Verdict:
    return Verdict("error", detail, fixable)


def counted(number: int, singular: str, plural: str = "") -> str:
    """ "1 chunk", "2 chunks"."""
    return f"{number} {singular if number == 1 else plural or singular + 's'}"
