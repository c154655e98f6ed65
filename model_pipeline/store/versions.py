"""Published versions of models, and the Ledger of what was done with them, as rows.

The ledger is what holds: aliases and tags elsewhere only follow it. An entry is never changed, so
that what was in production, when, why and by whom, is told from it alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, LiteralString

import psycopg
from psycopg.rows import class_row
from psycopg_pool import ConnectionPool

from model_pipeline.errors import Conflict, NotFound
from model_pipeline.store.connect import translate_errors

Kind = Literal["adapter", "merged"]
Action = Literal["published", "promoted", "rolled_back"]
COLUMNS: LiteralString = "repo, tag, commit, kind, base, made_from, dataset_hash"
VERSIONS: LiteralString = f"""
select {COLUMNS} from model_versions
where %(repo)s::text is null or repo = %(repo)s
order by repo, substr(tag, 2)::int
"""  # noqa: S608 - our own columns
RECORD: LiteralString = f"""
insert into model_versions ({COLUMNS})
values (%(repo)s, %(tag)s, %(commit)s, %(kind)s, %(base)s, %(made_from)s, %(dataset_hash)s)
on conflict (repo, commit) do nothing
"""  # noqa: S608
ENTRIES: LiteralString = """
select l.entry, l.repo, v.tag, l.commit, l.action, l.reason, l.made_by, l.created_at
from model_ledger as l join model_versions as v using (repo, commit)
where l.repo = %s order by l.entry
"""
ENTER: LiteralString = """
insert into model_ledger (repo, entry, commit, action, reason, made_by)
select %(repo)s, coalesce(max(entry), 0) + 1, %(commit)s, %(action)s, %(reason)s, %(by)s
from model_ledger where repo = %(repo)s
"""


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A commit of a Hub repository under its tag, `v1` and on. `kind` is what stands in it: an
    adapter for `base` ("owner/name@commit"), or a whole model. `made_from` is the sha256 of the
    manifest of what the fine-tune made: of one, there is one version."""

    repo: str
    tag: str
    commit: str
    kind: Kind
    base: str | None
    made_from: str
    dataset_hash: str | None

    @property
    def name(self) -> str:
        return f"{self.repo}@{self.tag}"

    @property
    def generator(self) -> str:
        """What PROMPTLY_GENERATOR is to be, for the service to answer with it."""
        own = f"{self.repo}@{self.commit}"
        return (
            f"transformers:{self.base}+{own}" if self.kind == "adapter" else f"transformers:{own}"
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """Of the ledger; `entry` counts within the repository."""

    entry: int
    repo: str
    tag: str
    commit: str
    action: Action
    reason: str
    made_by: str
    created_at: datetime


def in_production(entries: Sequence[Entry]) -> list[str]:
    """The commits that a rollback goes back through, the one in production last. Going back forgets
    what was left: after A, B, C and back to B, the next back is to A."""
    found: list[str] = []
    for one in entries:
        if one.action == "rolled_back":
            while found and found[-1] != one.commit:
                found.pop()
        if one.action != "published" and found[-1:] != [one.commit]:
            found.append(one.commit)
    return found


class PgVersions:
    """The database's own user alone, or the service role, gets at them."""

    def __init__(self, pool: ConnectionPool[psycopg.Connection[Any]]) -> None:
        self._pool = pool

    def record(self, version: ModelVersion, *, reason: str, by: str) -> None:
        """The same one again changes nothing. Raises Conflict where another has its tag."""
        row = {one: getattr(version, one) for one in COLUMNS.split(", ")}
        with translate_errors(), self._pool.connection() as connection, connection.transaction():
            _one_at_a_time(connection, version.repo)
            try:
                with connection.transaction():
                    added = connection.execute(RECORD, row).rowcount
            except psycopg.errors.UniqueViolation as error:
                raise Conflict(
                    f"{version.name} is recorded already with another commit: was {version.repo} "
                    "deleted on the Hub and made anew? Publish to another name."
                ) from error
            if added:
                _enter(connection, version, "published", reason, by)

    def versions(self, repo: str | None = None) -> list[ModelVersion]:
        """Of each repository the oldest first."""
        with translate_errors(), self._pool.connection() as connection:
            rows = connection.cursor(row_factory=class_row(ModelVersion))
            return rows.execute(VERSIONS, {"repo": repo}).fetchall()

    def version(self, repo: str, name: str) -> ModelVersion:
        """By its tag or its commit. Raises NotFound."""
        known = self.versions(repo)
        for one in known:
            if name in (one.tag, one.commit):
                return one
        tags = ", ".join(one.tag for one in known) or "none; `promptly models publish` makes one"
        raise NotFound(f"There is no version {name} of {repo}; known are: {tags}.")

    def entries(self, repo: str) -> list[Entry]:
        """The ledger, the oldest first."""
        with translate_errors(), self._pool.connection() as connection:
            rows = connection.cursor(row_factory=class_row(Entry))
            return rows.execute(ENTRIES, (repo,)).fetchall()

    def point(self, version: ModelVersion, action: Action, *, reason: str, by: str) -> bool:
        """Puts it in production; False where it is that already, and nothing is entered."""
        with translate_errors(), self._pool.connection() as connection, connection.transaction():
            _one_at_a_time(connection, version.repo)
            rows = connection.cursor(row_factory=class_row(Entry))
            before = in_production(rows.execute(ENTRIES, (version.repo,)).fetchall())
            if before[-1:] == [version.commit]:
                return False
            _enter(connection, version, action, reason, by)
            return True


def _one_at_a_time(connection: psycopg.Connection[Any], repo: str) -> None:
    connection.execute(
        "select pg_advisory_xact_lock(hashtextextended('model_versions/' || %s, 0))", (repo,)
    )


def _enter(
    connection: psycopg.Connection[Any], version: ModelVersion, action: Action, reason: str, by: str
) -> None:
    given = {"repo": version.repo, "commit": version.commit, "action": action}
    connection.execute(ENTER, given | {"reason": reason, "by": by})
