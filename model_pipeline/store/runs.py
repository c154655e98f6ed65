"""Training runs as rows, with what happened to each. What may follow what is
training/kaggle/runs.py's.

Who works on a run holds it by a lease; a change counts only where the lease is still its holder's
and the run is as the holder saw it. Each change of state is written together with its event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from model_pipeline.errors import Conflict, NotFound
from model_pipeline.store.connect import translate_errors

COLUMNS: LiteralString = """
run_id, idempotency_key, resumes, state, slug, dataset_hash, git_commit, config, quota, pushes,
kernel_version, unreadable, collections, verdict, reason, metrics, manifest, version, told,
created_at, changed_at, pushed_at, ended_at, cleaned_at
"""
CHANGED = frozenset(
    "quota pushes kernel_version unreadable collections verdict reason metrics manifest version "
    "log told pushed_at ended_at cleaned_at".split()
)
OPEN: LiteralString = """
insert into runs (idempotency_key, dataset_hash, git_commit, config, resumes)
values (%s, %s, %s, %s, %s) on conflict (idempotency_key) do nothing returning run_id
"""
EVENT: LiteralString = (
    "insert into run_events (run_id, event, state, detail) values (%s, %s, %s, %s)"
)
CLAIM: LiteralString = f"""
update runs set worker_id = %(worker)s, leased_until = now() + %(lease)s
where run_id = %(run_id)s
    and (leased_until is null or leased_until < now() or worker_id = %(worker)s)
returning {COLUMNS}
"""  # noqa: S608 - our own columns


@dataclass(frozen=True, slots=True)
class Run:
    """`quota`: hours of GPU before the push. `metrics` and `manifest` are what it left."""

    run_id: UUID
    idempotency_key: str
    resumes: UUID | None
    state: str
    slug: str
    dataset_hash: str
    git_commit: str | None
    config: Mapping[str, Any]
    quota: Mapping[str, Any] | None
    pushes: int
    kernel_version: int | None
    unreadable: int
    collections: int
    verdict: str | None
    reason: str | None
    metrics: Mapping[str, Any] | None
    manifest: Mapping[str, Any] | None
    version: str | None
    told: str | None
    created_at: datetime
    changed_at: datetime
    pushed_at: datetime | None
    ended_at: datetime | None
    cleaned_at: datetime | None


@dataclass(frozen=True, slots=True)
class RunEvent:
    """`state` is the run's after it."""

    event: str
    state: str
    detail: Mapping[str, Any]
    created_at: datetime


class RunHeld(Conflict):
    """Another process works on the run, or took it over."""


class PgRuns:
    """The database's own user alone, or the service role, gets at them."""

    def __init__(self, pool: ConnectionPool[psycopg.Connection[Any]]) -> None:
        self._pool = pool

    def open(
        self,
        key: str,
        *,
        dataset_hash: str,
        config: Mapping[str, Any],
        git_commit: str | None = None,
        resumes: UUID | None = None,
    ) -> Run:
        """The one run of this key, made where there is none. Raises Conflict where it is of other
        training data or another configuration."""
        facts = (key, dataset_hash, git_commit, Jsonb(dict(config)), resumes)
        with translate_errors(), self._pool.connection() as connection, connection.transaction():
            made = connection.execute(OPEN, facts).fetchone()
            if made:
                connection.execute(EVENT, (made[0], "open", "preparing", Jsonb({})))
            [found] = self._select(connection, "where idempotency_key = %s", (key,))
        if (found.dataset_hash, dict(found.config)) != (dataset_hash, dict(config)):
            raise Conflict(
                f"The key {key!r} is of run {short(found.run_id)}, which has other training data "
                "or another configuration: give another --key."
            )
        return found

    def get(self, name: str | UUID) -> Run:
        """By its id or the beginning of it, four characters or more. Raises NotFound, Conflict."""
        start = str(name).replace("-", "").lower()
        found: list[Run] = []
        if len(start) >= 4 and start.isalnum():
            with translate_errors(), self._pool.connection() as connection:
                found = self._select(
                    connection,
                    "where replace(run_id::text, '-', '') like %s limit 2",
                    (f"{start}%",),
                )
        if not found:
            raise NotFound(f"There is no run {str(name)!r}: `promptly train status` lists them.")
        if len(found) > 1:
            raise Conflict(f"More than one run begins with {str(name)!r}: give more of its id.")
        return found[0]

    def find(self, key: str) -> Run | None:
        with translate_errors(), self._pool.connection() as connection:
            return next(iter(self._select(connection, "where idempotency_key = %s", (key,))), None)

    def newest(self, limit: int) -> list[Run]:
        with translate_errors(), self._pool.connection() as connection:
            return self._select(connection, "order by created_at desc, run_id limit %s", (limit,))

    def in_states(self, states: Sequence[str]) -> list[Run]:
        """The oldest first."""
        with translate_errors(), self._pool.connection() as connection:
            return self._select(
                connection, "where state = any(%s) order by created_at, run_id", (list(states),)
            )

    def uncleaned(self, states: Sequence[str]) -> list[Run]:
        """Of these, those whose kernel or dataset may still be on Kaggle."""
        return [run for run in self.in_states(states) if run.cleaned_at is None]

    def events(self, run_id: UUID) -> list[RunEvent]:
        """In the order in which they happened."""
        with translate_errors(), self._pool.connection() as connection:
            rows = connection.cursor(row_factory=class_row(RunEvent))
            return rows.execute(
                "select event, state, detail, created_at from run_events where run_id = %s "
                "order by event_id",
                (run_id,),
            ).fetchall()

    def log(self, run_id: UUID) -> str | None:
        """What was kept of what Kaggle logged."""
        with translate_errors(), self._pool.connection() as connection:
            row = connection.execute("select log from runs where run_id = %s", (run_id,)).fetchone()
        return row[0] if row else None

    def claim(self, run_id: UUID, worker: UUID, lease_s: float) -> Run:
        """Hold it for so many seconds. Raises RunHeld where another does."""
        values = {"run_id": run_id, "worker": worker, "lease": f"{lease_s} s"}
        with translate_errors(), self._pool.connection() as connection:
            rows = connection.cursor(row_factory=class_row(Run))
            found = rows.execute(CLAIM, values).fetchone()
        if found is None:
            raise RunHeld(
                f"Another process works on run {short(run_id)}: wait until it is done, or, where "
                "it was killed, a few minutes until its lease is over."
            )
        return found

    def extend(self, run_id: UUID, worker: UUID, lease_s: float) -> None:
        """Where it is still held."""
        with translate_errors(), self._pool.connection() as connection:
            connection.execute(
                "update runs set leased_until = now() + %s where run_id = %s and worker_id = %s",
                (f"{lease_s} s", run_id, worker),
            )

    def release(self, run_id: UUID, worker: UUID) -> None:
        with translate_errors(), self._pool.connection() as connection:
            connection.execute(
                "update runs set worker_id = null, leased_until = null "
                "where run_id = %s and worker_id = %s",
                (run_id, worker),
            )

    def change(
        self,
        run: Run,
        *,
        worker: UUID | None,
        lease_s: float,
        event: str | None = None,
        state: str | None = None,
        detail: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> Run:
        """The run with `changes`, and in `state` after `event` where that is given. `worker` None
        takes it from whoever holds it. Raises RunHeld where it is not as `run` says any more."""
        assert changes.keys() <= CHANGED, changes
        to = state or run.state
        values = {
            name: Jsonb(dict(value)) if isinstance(value, Mapping) else value
            for name, value in changes.items()
        }
        sets = sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name))
            for name in values
        )
        statement = sql.SQL(
            "update runs set state = %(to)s, leased_until = now() + %(lease)s, "
            "changed_at = clock_timestamp(), worker_id = %(worker)s{comma}{sets} "
            "where run_id = %(run_id)s and state = %(from)s {held} returning {columns}"
        ).format(
            comma=sql.SQL(", ") if values else sql.SQL(""),
            sets=sets,
            held=sql.SQL("and worker_id = %(worker)s" if worker else ""),
            columns=sql.SQL(COLUMNS),
        )
        given = {
            "to": to, "from": run.state, "worker": worker, "run_id": run.run_id,
            "lease": f"{lease_s if worker else 0} s", **values,
        }  # fmt: skip
        with translate_errors(), self._pool.connection() as connection, connection.transaction():
            rows = connection.cursor(row_factory=class_row(Run))
            found = rows.execute(statement, given).fetchone()
            if found is None:
                raise RunHeld(
                    f"Run {short(run.run_id)} was changed by another process meanwhile: "
                    "`promptly train status` says how it stands."
                )
            if event is not None:
                connection.execute(EVENT, (run.run_id, event, to, Jsonb(dict(detail or {}))))
        return found

    def _select(
        self, connection: psycopg.Connection[Any], which: LiteralString, values: Sequence[Any]
    ) -> list[Run]:
        rows = connection.cursor(row_factory=class_row(Run))
        query: LiteralString = f"select {COLUMNS} from runs {which}"  # noqa: S608 - our own columns
        return rows.execute(query, values).fetchall()


def short(run_id: UUID) -> str:
    """Enough of the id to name it."""
    return run_id.hex[:8]
