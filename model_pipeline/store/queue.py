"""The queue of what is to be done: documents to be indexed, sources to be refreshed.

A worker holds a job by a lease, which it extends as long as it lives. What it did counts only
together with its job's end, in one transaction, and only where the lease is still its own and
nobody asked anew meanwhile: so each job is done once in effect, whatever dies when.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from model_pipeline.errors import Conflict, EmbedderMismatch
from model_pipeline.store.connect import connection_arguments, for_libpq, translate_errors
from model_pipeline.store.embedders import require_embedder
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.rows import EmbeddedDocument, copy_chunks

LEASE_S = 30
MAX_ATTEMPTS = 5
LONGEST_BACKOFF_S = 600
CLAIM_DOCUMENTS, CLAIM_SOURCE, END, FAIL = (
    (Path(__file__).parent / "sql" / "queue" / f"{name}.sql").read_text(encoding="utf-8")
    for name in ("claim_documents", "claim_source", "end", "fail")
)


@dataclass(frozen=True, slots=True)
class Job:
    job_id: int
    version: int
    attempts: int
    """This one included."""


@dataclass(frozen=True, slots=True)
class IndexJob(Job):
    """A document whose chunks are to be made. `content` is None where an ingest made them."""

    collection_id: UUID
    document_id: UUID
    source: str
    title: str
    metadata: Mapping[str, Any]
    origin: str
    content: str | None


@dataclass(frozen=True, slots=True)
class RefreshJob(Job):
    collection_id: UUID
    source_id: UUID
    kind: str
    settings: Mapping[str, Any]
    trusted: bool
    """Whether it may reach what the service reaches, or the public web alone."""

    @property
    def origin(self) -> str:
        return f"source:{self.source_id}"


class LeaseLost(Conflict):
    """Another worker has the job by now, or somebody asked for it anew."""


class PgQueue:
    """The jobs that the worker `worker_id` may take."""

    def __init__(
        self, pool: ConnectionPool[psycopg.Connection[Any]], store: PgStore, worker_id: UUID
    ) -> None:
        self._pool = pool
        self._store = store
        self._mine = {"worker": worker_id, "lease": f"{LEASE_S} s"}
        self._held: set[int] = set()
        self._holding = Lock()

    def claim_documents(self, *, documents: int, characters: int) -> list[IndexJob]:
        """Up to so many documents, of up to about so many characters together."""
        limits = {"documents": documents, "characters": characters}
        with self._holding, translate_errors(), self._pool.connection() as connection:
            rows = connection.execute(CLAIM_DOCUMENTS, self._mine | limits).fetchall()
            jobs = [IndexJob(*row) for row in rows]
            self._held.update(job.job_id for job in jobs)
        return jobs

    def claim_source(self) -> RefreshJob | None:
        with self._holding, translate_errors(), self._pool.connection() as connection:
            row = connection.execute(CLAIM_SOURCE, self._mine).fetchone()
            if row is None:
                return None
            job = RefreshJob(*row)
            self._held.add(job.job_id)
        return job

    def write_chunks(
        self, done: Sequence[tuple[IndexJob, EmbeddedDocument]], *, made_by: tuple[str, int]
    ) -> int:
        """Put the chunks of these documents in place and end their jobs, in one transaction;
        returns how many documents that were. One that was edited or deleted since, or taken by
        another worker, is left to whoever comes next. Raises EmbedderMismatch where the embedder
        `made_by`, a name and dimensions, is not the active one; then the jobs are still held."""

        def write(connection: psycopg.Connection[Any]) -> int:
            require_embedder(connection, made_by)
            held = connection.execute(
                "select document_id from documents where document_id = any(%s) "
                "order by document_id for no key update skip locked",
                ([job.document_id for job, _ in done],),
            ).fetchall()
            current = connection.execute(
                "select j.job_id from jobs as j join unnest(%s::bigint[], %s::bigint[]) "
                "as claimed (job_id, version) using (job_id, version) "
                "where j.worker_id = %s and j.document_id = any(%s) order by j.job_id "
                "for update of j",
                (
                    [job.job_id for job, _ in done],
                    [job.version for job, _ in done],
                    self._mine["worker"],
                    [document_id for (document_id,) in held],
                ),
            ).fetchall()
            keep = {job_id for (job_id,) in current}
            kept = [(job, item) for job, item in done if job.job_id in keep]
            ids = [job.document_id for job, _ in kept]
            connection.execute(
                "select lock_statistics(%s)", ([job.collection_id for job, _ in kept],)
            )
            connection.execute("delete from chunks where document_id = any(%s)", (ids,))
            copy_chunks(
                connection,
                "chunks",
                ((job.collection_id, job.document_id, item) for job, item in kept),
            )
            connection.execute(
                "update documents as d set content_hash = made.hash, chunk_count = made.chunks "
                "from unnest(%s::uuid[], %s::text[], %s::int[]) as made (id, hash, chunks) "
                "where d.document_id = made.id",
                (
                    ids,
                    [item.content_hash for _, item in kept],
                    [len(item.chunks) for _, item in kept],
                ),
            )
            connection.execute("delete from jobs where job_id = any(%s)", (list(keep),))
            return len(kept)

        try:
            written = self._store.transact(write)
        except EmbedderMismatch:
            raise
        except BaseException:
            self._drop(job for job, _ in done)
            raise
        self._drop(job for job, _ in done)
        return written

    def end(self, job: Job) -> None:
        """The job is done, unless it was asked anew since."""
        with translate_errors(), self._pool.connection() as connection:
            connection.execute(END, self._mine | {"job": job.job_id, "version": job.version})
        self._drop([job])

    def end_refresh(self, job: RefreshJob, result: Mapping[str, Any]) -> None:
        with translate_errors(), self._pool.connection() as connection, connection.transaction():
            connection.execute(
                "update sources set refreshed_at = now(), last_result = %s where source_id = %s",
                (Jsonb(result), job.source_id),
            )
            connection.execute(END, self._mine | {"job": job.job_id, "version": job.version})
        self._drop([job])

    def remove_leftovers(self, job: RefreshJob) -> None:
        """What was written for a source after somebody removed it."""
        with translate_errors(), self._pool.connection() as connection:
            connection.execute(
                "delete from documents where collection_id = %s and origin = %s "
                "and not exists (select from sources where source_id = %s)",
                (job.collection_id, job.origin, job.source_id),
            )

    def fail(self, job: Job, reason: str, *, retry: bool = True) -> bool:
        """Note why, and try again later, or never; returns whether that was the last attempt."""
        dead = not retry or job.attempts >= MAX_ATTEMPTS
        arguments = {
            "job": job.job_id,
            "version": job.version,
            "reason": reason,
            "pause": min(2**job.attempts, LONGEST_BACKOFF_S),
            "dead": dead,
        }
        with translate_errors(), self._pool.connection() as connection:
            connection.execute(FAIL, self._mine | arguments)
        self._drop([job])
        return dead

    def note_progress(self, job: RefreshJob, progress: Mapping[str, int]) -> None:
        """Raises LeaseLost."""
        with translate_errors(), self._pool.connection() as connection:
            mine = connection.execute(
                "update jobs set progress = %s where job_id = %s and worker_id = %s",
                (Jsonb(progress), job.job_id, self._mine["worker"]),
            )
        if not mine.rowcount:
            raise LeaseLost("Another worker has this refresh by now.")

    def extend_leases(self) -> None:
        """Of the jobs that are worked on; what else bears this worker's name is let go. Held are
        all that a claim returned, until they are ended, failed or written."""
        with self._holding, translate_errors(), self._pool.connection() as connection:
            # What is locked is being edited: it will be asked for anew.
            connection.execute(
                "update jobs as j set worker_id = case when held then worker_id end, "
                "leased_until = case when held then now() + %(lease)s end "
                "from (select job_id, job_id = any(%(held)s) as held from jobs "
                "where worker_id = %(worker)s for update skip locked) as mine "
                "where j.job_id = mine.job_id",
                self._mine | {"held": list(self._held)},
            )

    def release(self) -> None:
        """Give back what this worker holds."""
        with translate_errors(), self._pool.connection() as connection:
            connection.execute(
                "update jobs set worker_id = null, leased_until = null, attempts = attempts - 1 "
                "where worker_id = %(worker)s",
                self._mine,
            )

    def _drop(self, jobs: Iterable[Job]) -> None:
        with self._holding:
            self._held.difference_update(job.job_id for job in jobs)

    def ask_for_due_refreshes(self) -> None:
        with translate_errors(), self._pool.connection() as connection:
            connection.execute("select ask_for_due_refreshes()")

    def refresh_table(self, source_id: UUID) -> None:
        with translate_errors(), self._pool.connection() as connection, connection.transaction():
            connection.execute("set local statement_timeout = 0")  # as long as the table is
            connection.execute("select refresh_table(%s)", (source_id,))


class News:
    """Tells when jobs were added. Behind a transaction pooler nobody is told: there one asks."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._connection: psycopg.Connection[Any] | None = None
        self._pooled = connection_arguments(conninfo).get("prepare_threshold", 0) is None

    def wait(self, timeout_s: float) -> bool:
        """Until news may have come: at most so many seconds. Raises StoreUnavailable."""
        if self._pooled:
            time.sleep(timeout_s)
            return True
        with translate_errors():
            try:
                if self._connection is None:
                    self._connection = psycopg.connect(
                        for_libpq(self._conninfo), **connection_arguments(self._conninfo)
                    )
                    self._connection.execute("listen promptly_jobs")
                    return True  # something may have come before
                return bool(list(self._connection.notifies(timeout=timeout_s, stop_after=1)))
            except psycopg.Error:
                self.close()
                raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
