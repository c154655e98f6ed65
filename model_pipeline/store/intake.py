"""What the service was told, written into the database: answers given, and feedback on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.errors import ProgramLimitExceeded
from psycopg.types.json import Jsonb

from model_pipeline.errors import PromptlyError, StoreUnavailable
from model_pipeline.store.connect import connect, translate_errors

# One branch runs. Written again, either changes nothing.
TAKE = """
select case %(kind)s
    when 'answer' then private.keep_answer(%(user_id)s, %(at)s, %(data)s)
    when 'feedback' then private.put_feedback(%(user_id)s, %(at)s, %(data)s)
end
"""
# What the database will never take; anything else may be mended.
NEVER = (psycopg.DataError, psycopg.IntegrityError, ProgramLimitExceeded)

Entry = Mapping[str, Any]
"""`kind` (answer or feedback), `user_id` (as verified, or None), `at` (ISO 8601), `data`."""


@dataclass(frozen=True, slots=True)
class Stored:
    """`value` is the feedback as it stands now."""

    value: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Absent:
    """There is no such answer of theirs, or not yet."""


@dataclass(frozen=True, slots=True)
class Refused:
    """For good."""

    reason: str


@dataclass(frozen=True, slots=True)
class Delayed:
    """To be tried again."""

    reason: str


Outcome = Stored | Absent | Refused | Delayed


class PgIntake:
    """Over a connection of its own: what waits here takes none from those who ask. Not for several
    threads at once."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._open: psycopg.Connection[Any] | None = None

    def take(self, entries: Sequence[Entry]) -> list[Outcome]:
        """Write them in order, and tell what became of each. Raises StoreUnavailable where the
        database does not answer: then nothing is known of any."""
        try:
            try:
                return self._together(entries)
            except StoreUnavailable:
                raise
            except PromptlyError:  # of one of them, and the others shall not wait for it
                return [self._alone(entry) for entry in entries]
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._open is not None:
            self._open.close()

    def _together(self, entries: Sequence[Entry]) -> list[Outcome]:
        with translate_errors(), self._connection().transaction() as transaction:
            cursor = transaction.connection.cursor()
            cursor.executemany(TAKE, [_values(entry) for entry in entries], returning=True)
            return [_outcome(cursor.fetchone()) for _ in cursor.results()]

    def _alone(self, entry: Entry) -> Outcome:
        try:
            with translate_errors():
                return _outcome(self._connection().execute(TAKE, _values(entry)).fetchone())
        except StoreUnavailable:
            raise
        except PromptlyError as error:
            never = isinstance(error.__cause__, NEVER)
            return Refused(error.message) if never else Delayed(error.message)

    def _connection(self) -> psycopg.Connection[Any]:
        if self._open is None or self._open.closed:
            self._open = connect(self._conninfo)
        return self._open


def _values(entry: Entry) -> dict[str, Any]:
    return {
        "kind": entry["kind"],
        "user_id": entry["user_id"],
        "at": entry["at"],
        "data": Jsonb(entry["data"]),
    }


def _outcome(row: tuple[Any, ...] | None) -> Outcome:
    return Absent() if row is None or row[0] is None else Stored(row[0])
