"""The sources of collections, and the jobs that keep them up to date, as people see them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from model_pipeline.documents.sources import described
from model_pipeline.errors import Conflict, Forbidden, InvalidInput, NotFound
from model_pipeline.store.pg_store import PgStore, ensure_collection

Item = TypeVar("Item")
Kind = Literal["files", "web", "table", "bucket"]
JobState = Literal["waiting", "running", "dead"]
SHORTEST_EVERY = timedelta(minutes=1)
LONGEST_EVERY = timedelta(days=366)

STATE = """
case when j.dead_at is not null then 'dead' when j.leased_until > now() then 'running'
    when j.job_id is not null then 'waiting' end
"""
ISO = """to_char({} at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""
SOURCES = f"""
select s.source_id, c.name, s.kind, s.settings, extract(epoch from s.refresh_every)::int,
    {ISO.format("s.refresh_at")}, {ISO.format("s.refreshed_at")}, s.last_result, s.trusted,
    {STATE}, j.job_id, j.progress, j.reason
from sources as s join collections as c using (collection_id)
    left join jobs as j using (source_id)
"""  # noqa: S608 - our own texts
JOBS = f"""
select * from (
    select j.job_id, c.name as collection, {STATE} as state, j.document_id, j.source_id,
        d.source, s.kind, s.settings, j.attempts, {ISO.format("j.due_at")} as due_at, j.progress,
        j.reason
    from jobs as j join collections as c using (collection_id)
        left join documents as d using (document_id) left join sources as s using (source_id)
    where j.job_id > %(after)s and (%(collection)s::text is null or c.name = %(collection)s)
) as j where %(state)s::text is null or j.state = %(state)s order by j.job_id limit %(limit)s
"""  # noqa: S608
COUNTS = f"""
select collection, of_sources, count(*) filter (where state = 'waiting'),
    count(*) filter (where state = 'running'), count(*) filter (where state = 'dead')
from (
    select c.name as collection, j.source_id is not null as of_sources, {STATE} as state
    from jobs as j join collections as c using (collection_id)
    where %(collection)s::text is null or c.name = %(collection)s
) as j group by 1, 2 order by 1, 2
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Source:
    """Times are ISO 8601 in UTC. `last_result` has the last refresh's counts and failures; `state`
    is that of its job, None where nothing is to be done; `progress` counts what a refresh that is
    under way has met, `reason` says why the last attempt failed."""

    source_id: UUID
    collection: str
    kind: Kind
    settings: Mapping[str, Any]
    refresh_every_s: int | None
    refresh_at: str | None
    refreshed_at: str | None
    last_result: Mapping[str, Any] | None
    trusted: bool
    state: JobState | None = None
    job_id: int | None = None
    progress: Mapping[str, int] | None = None
    reason: str | None = None

    @property
    def name(self) -> str:
        return described(self.kind, self.settings)


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A document to be indexed or a source to be refreshed; `name` is what it is known by."""

    job_id: int
    collection: str
    state: JobState
    document_id: UUID | None
    source_id: UUID | None
    name: str
    attempts: int
    due_at: str
    progress: Mapping[str, int]
    reason: str | None


@dataclass(frozen=True, slots=True)
class JobCounts:
    """How many jobs a collection has, of documents to be indexed or of sources to be refreshed."""

    collection: str
    of: Literal["documents", "sources"]
    waiting: int
    running: int
    dead: int


class PgSources:
    """What the caller of `store` may see and change. Raises as PgStore does."""

    def __init__(self, store: PgStore) -> None:
        self._store = store

    def add_source(
        self,
        collection: str,
        kind: Kind,
        settings: Mapping[str, Any],
        *,
        refresh_every: timedelta | None = None,
    ) -> Source:
        """It is refreshed at once by a worker, and then every so often. Raises InvalidInput for
        settings that nothing can be read by, Conflict for one that is there already."""
        if refresh_every and not SHORTEST_EVERY <= refresh_every <= LONGEST_EVERY:
            raise InvalidInput("A source is refreshed every minute at most, every year at least.")

        def add(connection: psycopg.Connection[Any]) -> Source:
            row = connection.execute(
                "insert into sources (collection_id, kind, settings, refresh_every) "
                "values (%s, %s, %s, %s) on conflict do nothing returning source_id",
                (ensure_collection(connection, collection), kind, Jsonb(settings), refresh_every),
            ).fetchone()
            if row is None:
                raise Conflict(
                    f"{collection} has the source {described(kind, settings)} already: refresh it, "
                    "or remove it first."
                )
            if kind == "table":
                connection.execute("select follow_table(%s)", row)
            return _source(connection, row[0])

        try:
            return self._store.transact(add)
        except Forbidden as error:
            if kind == "web":
                raise
            raise Forbidden(
                "Only web pages can be added here: files, tables and buckets are added by the "
                "service's operator, with `promptly sources add`."
            ) from error

    def sources(self, *, collection: str | None, limit: int, after: UUID | None) -> list[Source]:
        """By source id; the next page starts after the last one's."""
        arguments = {"collection": collection, "limit": limit, "after": after}

        def read(connection: psycopg.Connection[Any]) -> list[Source]:
            rows = connection.execute(
                SOURCES + "where (%(collection)s::text is null or c.name = %(collection)s) "
                "and (%(after)s::uuid is null or s.source_id > %(after)s) "
                "order by s.source_id limit %(limit)s",
                arguments,
            )
            return [Source(*row) for row in rows]

        return self._read(read)

    def refresh_source(self, source_id: UUID) -> None:
        """Have a worker refresh it now."""
        self._call("select refresh_source(%s)", source_id, f"There is no source {source_id}.")

    def remove_source(self, source_id: UUID) -> int:
        """Remove it and the documents it brought; returns how many those were."""

        def remove(connection: psycopg.Connection[Any]) -> int:
            source = _source(connection, source_id)
            connection.execute("set local statement_timeout = 0")  # as many as they are
            row = connection.execute(
                "select count(*) from documents as d join sources as s using (collection_id) "
                "where s.source_id = %(source)s and d.origin = source_origin(%(source)s)",
                {"source": source_id},
            ).fetchone()
            gone = connection.execute("delete from sources where source_id = %s", (source_id,))
            if not gone.rowcount:
                raise Forbidden(
                    f"{source.name} was added by the service's operator, who alone removes it."
                )
            assert row is not None
            return int(row[0])

        return self._store.transact(remove)

    def jobs(
        self, *, collection: str | None, state: JobState | None, limit: int, after: int
    ) -> list[QueuedJob]:
        """By job id; the next page starts after the last one's."""
        arguments = {"collection": collection, "state": state, "limit": limit, "after": after}

        def read(connection: psycopg.Connection[Any]) -> list[QueuedJob]:
            return [_job(row) for row in connection.execute(JOBS, arguments)]

        return self._read(read)

    def job_counts(self, *, collection: str | None) -> list[JobCounts]:
        def read(connection: psycopg.Connection[Any]) -> list[JobCounts]:
            return [
                JobCounts(name, "sources" if of_sources else "documents", *counts)
                for name, of_sources, *counts in connection.execute(
                    COUNTS, {"collection": collection}
                )
            ]

        return self._read(read)

    def retry_job(self, job_id: int) -> None:
        """Have a worker try it now, as if it had never failed."""
        self._call("select retry_job(%s)", job_id, f"There is no job {job_id}: it may be done.")

    def retry_dead_jobs(self) -> int:
        """The same for all that were given up; returns how many."""
        return self._store.transact(
            lambda connection: (
                connection.execute(
                    "select retry_job(job_id) from jobs where dead_at is not null"
                ).rowcount
            )
        )

    def _read(self, read: Callable[[psycopg.Connection[Any]], list[Item]]) -> list[Item]:
        try:
            return self._store.transact(read)
        except Forbidden:  # who has not signed in may not even look, and has none
            return []

    def _call(self, statement: str, argument: UUID | int, missing: str) -> None:
        def call(connection: psycopg.Connection[Any]) -> bool:
            row = connection.execute(statement, (argument,)).fetchone()
            return bool(row and row[0])

        if not self._store.transact(call):
            raise NotFound(missing)


def _source(connection: psycopg.Connection[Any], source_id: UUID) -> Source:
    row = connection.execute(SOURCES + "where s.source_id = %s", (source_id,)).fetchone()
    if row is None:
        raise NotFound(f"There is no source {source_id}.")
    return Source(*row)


def _job(row: tuple[Any, ...]) -> QueuedJob:
    job_id, collection, state, document_id, source_id, source, kind, settings, *rest = row
    name = source if document_id else described(kind, settings)
    return QueuedJob(job_id, collection, state, document_id, source_id, name, *rest)
