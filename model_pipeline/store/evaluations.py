"""Frozen test sets and scorecards as rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import psycopg
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from model_pipeline.errors import NotFound
from model_pipeline.evaluation.examples import TestSet
from model_pipeline.evaluation.test_sets import LATEST, Frozen, Manifest, from_rows
from model_pipeline.store.connect import translate_errors

NEWEST = "select manifest from test_sets where name = %s order by version desc limit 1"
GET = """
select manifest, examples from test_sets
where name = %(name)s and (version = %(version)s or %(version)s = 0)
order by version desc limit 1
"""


@dataclass(frozen=True, slots=True)
class ScorecardSummary:
    """The time is ISO 8601 in UTC."""

    scorecard_id: str
    release_id: str
    test_set_hash: str
    created_at: str


class PgEvaluations:
    """The database's own user alone, or the service role, gets at them."""

    def __init__(self, pool: ConnectionPool[psycopg.Connection[Any]]) -> None:
        self._pool = pool

    # Test sets, as model_pipeline.evaluation.test_sets.Versions

    def freeze(self, test_set: TestSet, sha256: str, made: Mapping[str, Any]) -> Manifest:
        found = test_set.content_hash()
        rows = [example.to_row() for example in test_set.examples]
        with translate_errors(), self._pool.connection() as connection, connection.transaction():
            # One at a time a name: two that freeze at once get two versions, or share one.
            connection.execute(
                "select pg_advisory_xact_lock(hashtextextended('test_sets/' || %s, 0))",
                (test_set.name,),
            )
            row = connection.execute(NEWEST, (test_set.name,)).fetchone()
            newest = Manifest(**row[0]) if row else None
            if newest and newest.sha256 == sha256:
                return newest
            manifest = Manifest(
                name=test_set.name,
                version=newest.version + 1 if newest else 1,
                test_set_hash=found,
                sha256=sha256,
                n=len(rows),
                made=dict(made),
            )
            connection.execute(
                "insert into test_sets (name, version, hash, manifest, examples) "
                "values (%s, %s, %s, %s, %s)",
                (manifest.name, manifest.version, found, Jsonb(asdict(manifest)), Jsonb(rows)),
            )
        return manifest

    def get(self, name: str, version: int) -> Frozen:
        with translate_errors(), self._pool.connection() as connection:
            row = connection.execute(GET, {"name": name, "version": version}).fetchone()
        if row is None:
            which = f"{name}@v{version}" if version != LATEST else name
            raise NotFound(
                f"There is no test set {which}: `promptly testset list` shows those there are, "
                "`promptly testset make` and `import` make one."
            )
        return Frozen(Manifest(**row[0]), from_rows(name, row[1]))

    def manifests(self) -> list[Manifest]:
        with translate_errors(), self._pool.connection() as connection:
            rows = connection.execute("select manifest from test_sets order by name, version")
            return [Manifest(**manifest) for (manifest,) in rows]

    # Scorecards

    def keep_scorecard(self, release_id: str, test_set_hash: str, scorecard: str) -> None:
        """`scorecard` is its JSON; the same one is kept once."""
        digest = hashlib.sha256(scorecard.encode()).hexdigest()
        with translate_errors(), self._pool.connection() as connection:
            connection.execute(
                "insert into scorecards (release_id, test_set_hash, hash, scorecard) "
                "values (%s, %s, %s, %s::json) on conflict (hash) do nothing",
                (release_id, test_set_hash, digest, scorecard),
            )

    def scorecards(self, *, test_set_hash: str | None = None) -> list[ScorecardSummary]:
        """The newest first."""
        with translate_errors(), self._pool.connection() as connection:
            rows = connection.execute(
                "select scorecard_id::text, release_id, test_set_hash, "
                "to_char(created_at at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') "
                "from scorecards where %(hash)s::text is null or test_set_hash = %(hash)s "
                "order by created_at desc, scorecard_id",
                {"hash": test_set_hash},
            )
            return [ScorecardSummary(*row) for row in rows]

    def scorecard(self, scorecard_id: str) -> str:
        """Its JSON, to the letter. Raises NotFound."""
        with translate_errors(), self._pool.connection() as connection:
            row = connection.execute(
                "select scorecard::text from scorecards where scorecard_id::text = %s",
                (scorecard_id,),
            ).fetchone()
        if row is None:
            raise NotFound(f"There is no scorecard {scorecard_id}.")
        text: str = row[0]
        return text
