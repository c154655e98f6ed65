"""The standby: a second column of vectors, filled while everything goes on, then swapped in.

Readers of `chunks` are locked out for milliseconds, when a column is added, dropped, or changes its
name. They never queue behind one who reads for long: the lock is asked for a moment only, and again
later.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from uuid import UUID

import psycopg
from pgvector import HalfVector
from psycopg.errors import DeadlockDetected, DiskFull, LockNotAvailable

from model_pipeline.domain import Chunk
from model_pipeline.errors import ConfigurationError, Conflict
from model_pipeline.store.connect import (
    connect,
    connection_arguments,
    register,
    translate_errors,
)
from model_pipeline.store.embedders import StoredEmbedder, note, require_indexable, stored_embedders

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Result = TypeVar("Result")
QUERIES = Path(__file__).parent / "sql" / "standby"
LOCK_KEY = 7_221_640_036  # any number, the same in every process
LOCK_PATIENCE_S = 5  # for another that re-embeds, and for writers under way
READERS_PATIENCE_MS = 200  # how long new searches may queue behind an old reader
LONGEST_PAUSE_S = 5.0
MOST_BUILD_MEMORY_MB = 1024
INDEX = "chunks_embedding_standby"
# As chunks_embedding has it.
DEFINITION = (
    "on public.chunks using hnsw (embedding_standby extensions.halfvec_ip_ops) "
    "with (m = 16, ef_construction = 64)"
)


@dataclass(frozen=True, slots=True)
class Unfilled:
    """A chunk without a standby vector; `version` tells it from a later one of the same id."""

    chunk_id: UUID
    version: str
    text: str


@dataclass(frozen=True, slots=True)
class StandbyStatus:
    """`since` is when the standby came to be what it is; `filled` of `chunks` have its vector, 0 of
    0 where there is none. `running`: somebody re-embeds."""

    active: StoredEmbedder | None
    standby: StoredEmbedder | None
    since: datetime | None
    column: bool
    index: Literal["missing", "invalid", "valid"]
    chunks: int
    filled: int
    running: bool


class NotYet(Exception):
    """Others are in the way, or too much is left to do while writers wait."""


class Standby:
    """What is done with the standby, over a connection of its own: see `alone`."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def embedders(self) -> list[StoredEmbedder]:
        with translate_errors():
            return stored_embedders(self._connection)

    def begin(self, name: str, dimensions: int, spec: str) -> bool:
        """Make it the standby, unless it is; False where it is the active embedder, which it
        becomes at once in an empty store. Raises Conflict while another switch is open."""
        require_indexable(name, dimensions)
        known = self.embedders()
        if any(one.name == name and one.state == "active" for one in known):
            return False
        if len(known) > 1:
            self._require_same(known[1], name, dimensions)
            return True

        def work() -> bool:
            known = stored_embedders(self._connection)
            if not self._one("select exists (select from chunks)"):
                note(self._connection, name, dimensions, spec)
                return False
            if not known:
                raise ConfigurationError(
                    "It is not noted whose vectors are stored: first `promptly ingest` with "
                    "PROMPTLY_EMBEDDER set to the one that made them."
                )
            self._connection.execute(
                "alter table chunks drop column if exists embedding_standby, "
                f"add column embedding_standby extensions.halfvec({int(dimensions)})".encode()
            )
            self._connection.execute(
                "alter table chunks alter column embedding_standby set storage main"
            )
            # Rights are a column's own, whatever its name: this one is to become `embedding`.
            self._connection.execute(
                "grant insert (embedding_standby), update (embedding_standby) on chunks "
                "to authenticated"
            )
            self._connection.execute(
                "insert into embedder (name, dimensions, spec, state) values (%s, %s, %s, 'next')",
                (name, dimensions, spec),
            )
            return True

        return self._patiently(work)

    def _require_same(self, standby: StoredEmbedder, name: str, dimensions: int) -> None:
        if standby.name == name and standby.dimensions == dimensions:
            return
        if standby.state == "previous":
            raise Conflict(
                f"The switch from {standby.name} is not confirmed yet: `promptly reembed confirm` "
                "drops its vectors, `promptly reembed back` returns to them."
            )
        raise Conflict(
            f"A switch to {standby.name} is under way: `promptly reembed --model {standby.spec}` "
            "goes on with it, `promptly reembed cancel` gives it up."
        )

    def unfilled(self, after: UUID | None, limit: int) -> list[Unfilled]:
        with translate_errors(), self._connection.transaction():
            # The planner knows nothing of the new column, and would sort the whole table.
            self._connection.execute(
                "select set_config('enable_sort', 'off', true), "
                "set_config('enable_bitmapscan', 'off', true)"
            )
            return self._unfilled(after, limit)

    def fill(self, batch: Sequence[Unfilled], vectors: NDArray[np.float32]) -> int:
        """How many of them were there still, and got their vector."""
        with translate_errors():
            return self._fill(batch, vectors)

    def missing(self) -> tuple[int, int]:
        """How many chunks have no standby vector, and how many there are."""
        with translate_errors():
            chunks, missing = _counts(self._connection)
        return missing, chunks

    def build_index(self) -> None:
        """Beside readers and writers; what a build that was stopped left is built anew."""
        with translate_errors():
            _, state, _, _ = _catalog(self._connection)
            if state == "valid":
                return
            if state == "invalid":
                self._connection.execute(f"drop index concurrently public.{INDEX}")
            # Enough for the graph to be built in memory; a vector and its neighbours are about
            # 2 bytes a dimension and 1 kB.
            self._connection.execute(
                "select set_config('maintenance_work_mem', greatest("
                "pg_size_bytes(current_setting('maintenance_work_mem')) / 1024, least(%s, "
                "(select count(*) * (2 * max(e.dimensions) + 1100) / 1024 from chunks, embedder as "
                "e where not e.active)))::text, false)",
                (MOST_BUILD_MEMORY_MB * 1024,),
            )
            try:
                self._connection.execute(f"create index concurrently {INDEX} {DEFINITION}")
            except DiskFull:  # perhaps of the memory that its workers share, little in a container
                self._connection.execute("set max_parallel_maintenance_workers = 0")
                self._connection.execute(f"drop index concurrently if exists public.{INDEX}")
                self._connection.execute(f"create index concurrently {INDEX} {DEFINITION}")
            self._connection.execute("analyze chunks")

    def swap(self, embed: Callable[[list[str]], NDArray[np.float32]], at_most: int) -> float:
        """Make the standby the active embedder, and the active one the previous.

        Writers wait from the beginning, readers only while names are changed: the seconds of that
        are returned. Raises NotYet where more than `at_most` chunks are left to embed, or somebody
        reads for long: then try again.
        """

        def prepare() -> None:
            left = self._unfilled(None, at_most + 1)
            if len(left) > at_most:
                raise NotYet
            if left and self._fill(left, embed([one.text for one in left])) < len(left):
                raise NotYet

        def work() -> float:
            started = time.perf_counter()
            self._connection.execute(_query("swap"), prepare=False)
            return started

        with translate_errors():
            started = self._exclusively(work, prepare)
        return time.perf_counter() - started

    def settle(self) -> None:
        """What a swap leaves to be done without haste: that every chunk has a vector becomes the
        column's own rule. Doing it twice does nothing."""
        with translate_errors():
            pending = self._one(
                "select exists (select from pg_constraint where conname = "
                "'chunks_embedding_given' and conrelid = 'public.chunks'::regclass)"
            )
            if not pending:
                return
            self._connection.execute(
                "alter table chunks validate constraint chunks_embedding_given"
            )

        def work() -> None:
            # The rule is proven by the constraint, and no row read again.
            self._connection.execute("alter table chunks alter column embedding set not null")
            self._connection.execute("alter table chunks drop constraint chunks_embedding_given")

        self._patiently(work)

    def drop(self, state: Literal["next", "previous"]) -> int | None:
        """Drop the standby in this state, with its vectors; returns its index's bytes, which are
        free at once, None where there is no standby. Raises Conflict where it is in the other."""
        others = [one for one in self.embedders() if one.state != "active"]
        if others and others[0].state != state:
            if state == "next":
                raise Conflict(
                    "The switch is done already: `promptly reembed back` undoes it, `promptly "
                    "reembed confirm` ends it."
                )
            raise Conflict(
                f"The switch to {others[0].name} is not done yet: `promptly reembed --model "
                f"{others[0].spec}` goes on with it, `promptly reembed cancel` gives it up."
            )
        self.settle()
        with translate_errors():
            column, *_ = _catalog(self._connection)
        if not (others or column):
            return None

        def work() -> int:
            freed: int = self._one(
                "select coalesce(pg_relation_size(to_regclass(%(index)s)), 0)",
                {"index": f"public.{INDEX}"},
            )
            self._connection.execute("alter table chunks drop column if exists embedding_standby")
            self._connection.execute("delete from embedder where not active")
            return freed

        return self._patiently(work)

    def _unfilled(self, after: UUID | None, limit: int) -> list[Unfilled]:
        rows = self._connection.execute(_query("unfilled"), {"after": after, "limit": limit})
        return [
            # As an ingest makes it.
            Unfilled(chunk_id, version, Chunk(0, 0, 0, content, tuple(path)).text_to_embed(title))
            for chunk_id, version, path, content, title in rows
        ]

    def _fill(self, batch: Sequence[Unfilled], vectors: NDArray[np.float32]) -> int:
        arguments = {
            "ids": [one.chunk_id for one in batch],
            "versions": [one.version for one in batch],
            "vectors": [HalfVector(vector) for vector in vectors],
        }
        return self._connection.execute(_query("fill"), arguments).rowcount

    def _one(self, query: str, arguments: Mapping[str, Any] | None = None) -> Any:
        return _row(self._connection, query.encode(), arguments)[0]

    def _patiently(self, work: Callable[[], Result]) -> Result:
        pause = 0.1
        while True:
            try:
                with translate_errors():
                    return self._exclusively(work)
            except NotYet:
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)

    def _exclusively(
        self, work: Callable[[], Result], prepare: Callable[[], None] = lambda: None
    ) -> Result:
        """Run `work` in a transaction that holds the embedders and `chunks` alone: first against
        writers for `prepare`, then against readers too. NotYet where somebody is in the way."""
        try:
            with self._connection.transaction():
                self._set_local("lock_timeout", f"{LOCK_PATIENCE_S}s")
                self._connection.execute("lock table embedder in exclusive mode")
                self._connection.execute("lock table chunks in share row exclusive mode")
                prepare()
                self._set_local("lock_timeout", f"{READERS_PATIENCE_MS}ms")
                self._connection.execute("lock table chunks in access exclusive mode")
                return work()
        except (LockNotAvailable, DeadlockDetected) as error:
            raise NotYet from error

    def _set_local(self, name: str, value: str) -> None:
        self._connection.execute("select set_config(%s, %s, true)", (name, value))


@contextmanager
def alone(conninfo: str) -> Iterator[Standby]:
    """The standby, with nobody else at it. Raises Conflict where another program is,
    ConfigurationError behind a transaction pooler."""
    if connection_arguments(conninfo)["prepare_threshold"] is None:
        raise ConfigurationError(
            "PROMPTLY_DATABASE_URL leads through a transaction pooler, which keeps no lock and no "
            "time limit for a session: set it to the database itself or to a session pooler."
        )
    with translate_errors(), connect(conninfo) as connection:
        register(connection)
        # Whoever is killed lets go at once, in the midst of building an index too.
        connection.execute("set client_connection_check_interval = '1s'")
        connection.execute(f"set lock_timeout = '{LOCK_PATIENCE_S}s'".encode())
        try:
            connection.execute("select pg_advisory_lock(%s)", (LOCK_KEY,))
        except LockNotAvailable as error:
            raise Conflict(
                "Another program is re-embedding this database: wait until it is done, or stop it."
            ) from error
        connection.execute("set lock_timeout = 0")
        connection.execute("set statement_timeout = 0")
        yield Standby(connection)


def standby_status(conninfo: str) -> StandbyStatus:
    with translate_errors(), connect(conninfo) as connection:
        return look(connection)


def look(connection: psycopg.Connection[Any], *, counting: bool = True) -> StandbyStatus:
    """Where there is a standby, `counting` reads every chunk."""
    column, index, running, since = _catalog(connection)
    chunks, missing = _counts(connection) if column and counting else (0, 0)
    known = {one.state == "active": one for one in stored_embedders(connection)}
    return StandbyStatus(
        known.get(True), known.get(False), since, column, index, chunks, chunks - missing, running
    )


def _catalog(connection: psycopg.Connection[Any]) -> tuple[Any, ...]:
    return _row(connection, _query("status"), {"index": INDEX, "key": LOCK_KEY})


def _counts(connection: psycopg.Connection[Any]) -> tuple[Any, ...]:
    """Chunks, and those without a standby vector."""
    return _row(
        connection,
        b"select count(*), count(*) filter (where embedding_standby is null) from chunks",
    )


def _row(
    connection: psycopg.Connection[Any], query: bytes, arguments: Mapping[str, Any] | None = None
) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = connection.execute(query, arguments).fetchone()
    assert row is not None
    return row


def _query(name: str) -> bytes:
    return (QUERIES / f"{name}.sql").read_bytes()
