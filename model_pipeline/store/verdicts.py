"""Verdicts on stored answers, what people say of them, and the reports over both, as rows.

What a verdict means is the judges' to say (bias/verdicts.py): here it is a row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from model_pipeline.domain import Caller
from model_pipeline.errors import NotFound, Unauthorized
from model_pipeline.store.caller import connection_as
from model_pipeline.store.connect import translate_errors

GIVEN: LiteralString = """
select answer_id, to_char(created_at at time zone 'utc', 'YYYY-MM-DD') as day,
    coalesce(collection, '') as collection, release_id, declined,
    coalesce((bias ->> 'withheld')::boolean, false) as withheld
from answers where created_at >= %s and created_at < %s
order by created_at, answer_id
"""
UNJUDGED: LiteralString = """
select a.answer_id from answers as a
where a.answer_id = any(%s) and not exists (
    select from verdicts as v where v.answer_id = a.answer_id and v.signature = %s
)
order by a.created_at, a.answer_id
"""
VERDICT: LiteralString = (
    "v.answer_id, v.signature, v.level, v.score, v.probabilities, v.evidence, v.reason, v.sure, "
    "v.dimension, v.created_at"
)
VERDICTS: LiteralString = f"select {VERDICT} from verdicts as v where v.answer_id = %s"  # noqa: S608
JUDGED: LiteralString = f"""
select {VERDICT}, a.question, a.answer from verdicts as v join answers as a using (answer_id)
where v.answer_id = any(%s) and v.signature = %s order by a.created_at, a.answer_id
"""  # noqa: S608 - our own columns
REVIEW: LiteralString = (
    "r.review_id, r.answer_id, r.signature, r.user_id, r.level, v.level as judged, r.comment, "
    "r.created_at"
)
REVIEWS: LiteralString = f"""
select {REVIEW} from reviews as r join verdicts as v using (answer_id, signature)
"""  # noqa: S608
# The last word of each author on each verdict.
LAST_WORDS: LiteralString = f"""
select distinct on (r.answer_id, r.signature, r.user_id) {REVIEW}, a.answer
from reviews as r join verdicts as v using (answer_id, signature)
join answers as a using (answer_id)
where (%(signature)s::text is null or r.signature = %(signature)s)
    and (%(answers)s::uuid[] is null or r.answer_id = any(%(answers)s))
order by r.answer_id, r.signature, r.user_id, r.created_at desc, r.review_id
"""  # noqa: S608
ADD_REVIEW: LiteralString = """
insert into reviews (answer_id, signature, user_id, level, comment)
values (%(answer_id)s, %(signature)s, %(user_id)s, %(level)s, %(comment)s)
"""
# The newest report of each period that ended before `until`, oldest period first.
REPORTS: LiteralString = """
select r.report from (
    select distinct on (since, until) since, until, report::text as report from bias_reports
    where signature = %s and until < %s
    order by since, until, created_at desc, report_id
) as r
order by r.until, r.since
"""


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """An answer without its words. `day` is in UTC; `collection` is '' for one from all of them."""

    answer_id: UUID
    day: str
    collection: str
    release_id: str
    declined: bool
    withheld: bool


@dataclass(frozen=True, slots=True)
class StoredVerdict:
    """`evidence` is [{"start", "end", "dimension"}] in characters of the answer."""

    answer_id: UUID
    signature: str
    level: int
    score: float
    probabilities: Sequence[float]
    evidence: Sequence[Mapping[str, Any]]
    reason: str
    sure: bool
    dimension: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class JudgedAnswer(StoredVerdict):
    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Review:
    """`level` is its author's, `judged` the verdict's; `user_id` is None of who runs the service,
    and where nobody signs in."""

    review_id: UUID
    answer_id: UUID
    signature: str
    user_id: UUID | None
    level: int
    judged: int
    comment: str | None
    created_at: datetime

    @property
    def confirms(self) -> bool:
        return self.level == self.judged


@dataclass(frozen=True, slots=True)
class LastWord(Review):
    answer: str


class PgVerdicts:
    """All of them, for who runs the service: the database's own user."""

    def __init__(self, pool: ConnectionPool[psycopg.Connection[Any]]) -> None:
        self._pool = pool

    def given(self, since: datetime, until: datetime) -> list[GivenAnswer]:
        """The answers of [since, until), in the order of their time."""
        with translate_errors(), self._pool.connection() as connection:
            rows = connection.cursor(row_factory=class_row(GivenAnswer))
            return rows.execute(GIVEN, (since, until)).fetchall()

    def unjudged(self, answer_ids: Sequence[UUID], signature: str) -> list[UUID]:
        """Which of them this judge has not judged."""
        with translate_errors(), self._pool.connection() as connection:
            rows = connection.execute(UNJUDGED, (list(answer_ids), signature))
            return [answer_id for (answer_id,) in rows]

    def texts(self, answer_ids: Sequence[UUID]) -> dict[UUID, str]:
        """Of those that are still there."""
        with translate_errors(), self._pool.connection() as connection:
            rows = connection.execute(
                "select answer_id, answer from answers where answer_id = any(%s)",
                (list(answer_ids),),
            )
            return dict(rows.fetchall())

    def keep(self, verdicts: Sequence[Mapping[str, Any]]) -> None:
        """Rows with `answer_id` (a string) and the columns of `StoredVerdict` but the time. What
        this judge has judged before stays; of an answer that is gone nothing is kept."""
        with translate_errors(), self._pool.connection() as connection:
            connection.execute("select private.keep_verdicts(%s)", (Jsonb(list(verdicts)),))

    def judged(self, answer_ids: Sequence[UUID], signature: str) -> list[JudgedAnswer]:
        """In the order of the answers' time."""
        with translate_errors(), self._pool.connection() as connection:
            rows = connection.cursor(row_factory=class_row(JudgedAnswer))
            return rows.execute(JUDGED, (list(answer_ids), signature)).fetchall()

    def last_words(
        self, *, signature: str | None = None, answer_ids: Sequence[UUID] | None = None
    ) -> list[LastWord]:
        """What each author said last of each verdict."""
        values = {"signature": signature, "answers": answer_ids and list(answer_ids)}
        with translate_errors(), self._pool.connection() as connection:
            rows = connection.cursor(row_factory=class_row(LastWord))
            return rows.execute(LAST_WORDS, values).fetchall()

    def keep_report(self, signature: str, since: datetime, until: datetime, report: str) -> None:
        """`report` is its JSON; the same one is kept once."""
        digest = hashlib.sha256(report.encode()).hexdigest()
        with translate_errors(), self._pool.connection() as connection:
            connection.execute(
                "insert into bias_reports (signature, since, until, hash, report) "
                "values (%s, %s, %s, %s, %s::json) on conflict (hash) do nothing",
                (signature, since, until, digest, report),
            )

    def reports_before(self, until: datetime, signature: str) -> list[str]:
        """The newest JSON of each earlier period, by this judge; the oldest period first."""
        with translate_errors(), self._pool.connection() as connection:
            return [text for (text,) in connection.execute(REPORTS, (signature, until))]


class PgReviews:
    """The verdicts on what `caller` was answered; without one, on what was asked where nobody
    signs in; with `everybody` on every answer. Raises Unauthorized for who is not signed in where
    others are: of them no answer is kept."""

    def __init__(
        self,
        pool: ConnectionPool[psycopg.Connection[Any]],
        caller: Caller | None = None,
        *,
        everybody: bool = False,
    ) -> None:
        self._pool = pool
        self._caller = caller
        self._mine: LiteralString = " and v.user_id = (select auth.uid())"
        if caller is None:
            self._mine = "" if everybody else " and v.user_id is null"

    def verdicts(self, answer_id: UUID) -> list[tuple[StoredVerdict, list[Review]]]:
        """The newest first, each with what was said of it, in time. Raises NotFound."""
        with self._connection() as connection:
            found = self._of(connection, answer_id)
            rows = connection.cursor(row_factory=class_row(Review)).execute(
                REVIEWS + "where r.answer_id = %s" + self._mine + " order by r.created_at, 1",
                (answer_id,),
            )
            said = rows.fetchall()
        if not found:
            raise _absent(answer_id)
        return [(one, [by for by in said if by.signature == one.signature]) for one in found]

    def review(
        self, answer_id: UUID, *, level: int | None, comment: str | None, signature: str | None
    ) -> Review:
        """What `caller` says of a judge's verdict, the newest where no signature is given; `level`
        None confirms it. Raises NotFound."""
        with self._connection() as connection:
            found = self._of(connection, answer_id)
            one = next((one for one in found if signature in (None, one.signature)), None)
            if one is None:
                raise _absent(answer_id)
            values = {
                "answer_id": answer_id,
                "signature": one.signature,
                "user_id": self._caller.claims["sub"] if self._caller else None,
                "level": one.level if level is None else level,
                "comment": comment,
            }
            row = connection.execute(
                ADD_REVIEW + "returning review_id, user_id, level, comment, created_at", values
            ).fetchone()
        assert row is not None
        review_id, user_id, stands, comment, created_at = row
        return Review(
            review_id, answer_id, one.signature, user_id, stands, one.level, comment, created_at
        )

    def _of(self, connection: psycopg.Connection[Any], answer_id: UUID) -> list[StoredVerdict]:
        rows = connection.cursor(row_factory=class_row(StoredVerdict))
        newest: LiteralString = " order by v.created_at desc, v.signature"
        return rows.execute(VERDICTS + self._mine + newest, (answer_id,)).fetchall()

    def _connection(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        if self._caller is not None and self._caller.role == "anon":
            raise Unauthorized("Verdicts are told to who got the answer: sign in.")
        return connection_as(self._pool, self._caller)


def _absent(answer_id: UUID) -> NotFound:
    return NotFound(f"There is no verdict on an answer {answer_id}.")
