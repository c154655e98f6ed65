"""What a person asked and was answered, by conversation: listed, shown, and deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg_pool import ConnectionPool

from model_pipeline.domain import Bias, Caller
from model_pipeline.errors import NotFound, Unauthorized
from model_pipeline.store.caller import connection_as
from model_pipeline.store.connect import translate_errors

CONVERSATIONS: LiteralString = """
select conversation_id, title, created_at, updated_at from conversations
where title is not null
    and (%(only)s::uuid is null or conversation_id = %(only)s)
    and (%(at)s::timestamptz is null
        or (updated_at, conversation_id) < (%(at)s::timestamptz, %(after)s::uuid))
"""
NEWEST: LiteralString = " order by updated_at desc, conversation_id desc limit %(limit)s"
ANSWERS: LiteralString = """
select a.answer_id, a.question, a.answer, a.declined, a.citations, a.release_id, a.collection,
    a.timings_ms, a.created_at, a.bias, f.rating, f.comment, f.corrected_answer, f.harm
from answers as a left join feedback as f using (answer_id)
where a.conversation_id = %(only)s
    and (%(after)s::uuid is null or (a.created_at, a.answer_id)
        > (select b.created_at, b.answer_id from answers as b
           where b.answer_id = %(after)s and b.conversation_id = %(only)s))
"""
OLDEST: LiteralString = " order by a.created_at, a.answer_id limit %(limit)s"
FEEDBACK = ("rating", "comment", "corrected_answer", "harm")


@dataclass(frozen=True, slots=True)
class Conversation:
    """`title` is its first question."""

    conversation_id: UUID
    title: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """`citations` are as they were sent, `bias` is without its verdict; `feedback` has what was
    said, and nothing else."""

    answer_id: UUID
    question: str
    answer: str
    declined: bool
    citations: Sequence[Mapping[str, Any]]
    release_id: str
    collection: str | None
    timings_ms: Mapping[str, float]
    created_at: datetime
    bias: Bias | None
    feedback: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended."""

    updated_at: datetime
    conversation_id: UUID


class PgHistory:
    """What `caller` asked; without one, what was asked where nobody signs in. Raises Unauthorized
    for who is not signed in where others are: of them nothing is kept."""

    def __init__(
        self, pool: ConnectionPool[psycopg.Connection[Any]], caller: Caller | None = None
    ) -> None:
        self._pool = pool
        self._caller = caller

    def conversations(
        self, *, limit: int, after: Place | None = None, only: UUID | None = None
    ) -> list[Conversation]:
        """Those that went on last first."""
        self._require_somebody()
        values = {
            "only": only,
            "at": after.updated_at if after else None,
            "after": after.conversation_id if after else None,
            "limit": limit,
        }
        with connection_as(self._pool, self._caller) as connection:
            rows = connection.execute(CONVERSATIONS + self._mine("user_id") + NEWEST, values)
            return [Conversation(*row) for row in rows]

    def answers(
        self, conversation_id: UUID, *, limit: int, after: UUID | None = None
    ) -> tuple[Conversation, list[KeptAnswer]]:
        """Oldest first; the next page starts after the last one's id. Raises NotFound."""
        self._require_somebody()
        values = {"only": conversation_id, "after": after, "limit": limit}
        with connection_as(self._pool, self._caller) as connection:
            head = connection.execute(
                CONVERSATIONS + self._mine("user_id"), values | {"at": None}
            ).fetchone()
            if head is None:
                raise _absent(conversation_id)
            rows = connection.execute(ANSWERS + self._mine("a.user_id") + OLDEST, values)
            return Conversation(*head), [_answer(*row) for row in rows]

    def forget(self, conversation_id: UUID) -> None:
        """With all that was said in it. Raises NotFound."""
        self._require_somebody()
        whose = self._caller.claims["sub"] if self._caller else None
        with translate_errors(), self._pool.connection() as connection:
            row = connection.execute(
                "select private.forget_conversation(%s, %s, %s)",
                (whose, datetime.now(UTC), conversation_id),
            ).fetchone()
        if row is None or not row[0]:
            raise _absent(conversation_id)

    def _mine(self, column: LiteralString) -> LiteralString:
        """One's own, also for a user whom row-level security does not bind; found in an index."""
        if self._caller is None:
            return " and " + column + " is null"
        return " and " + column + " = (select auth.uid())"

    def _require_somebody(self) -> None:
        if self._caller is not None and self._caller.role == "anon":
            raise Unauthorized("A history is kept of who is signed in alone: sign in.")


def _answer(*row: Any) -> KeptAnswer:
    *parts, bias = row[: -len(FEEDBACK)]
    said = zip(FEEDBACK, row[-len(FEEDBACK) :], strict=True)
    feedback = {part: words for part, words in said if words is not None}
    return KeptAnswer(*(*parts, Bias(**bias) if bias else None, feedback))


def _absent(conversation_id: UUID) -> NotFound:
    return NotFound(f"There is no conversation {conversation_id}.")
