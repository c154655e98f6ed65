"""The two doors by which stored rows are read page by page: Postgres itself, and Supabase's API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from model_pipeline.store import connect, supabase_api

if TYPE_CHECKING:
    from supabase import Client

Kind = Literal["chunks", "pairs", "feedback"]
Page = Sequence[dict[str, Any]]
Condition = tuple[str, str, str]
OPERATORS = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


@dataclass(frozen=True, slots=True)
class Selection:
    """Rows of a view, told apart by `key`: those of `collection` with
    `since` <= updated_at < `until` (ISO 8601), or of `dataset_hash`; None: no such limit."""

    view: str
    key: str
    columns: tuple[str, ...]
    collection: str | None = None
    since: str | None = None
    until: str | None = None
    dataset_hash: str | None = None

    def conditions(self, *, newest: str | None = None, after: str | None = None) -> list[Condition]:
        """(column, PostgREST's name of an operator, value) of each that holds."""
        listed = (
            ("collection", "eq", self.collection),
            ("dataset_hash", "eq", self.dataset_hash),
            ("updated_at", "gte", self.since),
            ("updated_at", "lt", self.until),
            ("updated_at", "lte", newest),
            (self.key, "gt", after),
        )
        return [(column, name, value) for column, name, value in listed if value is not None]


class Door(Protocol):
    """Raises StoreUnavailable where trying again may help."""

    def extent(self, selection: Selection) -> tuple[int, str | None]:
        """How many rows there are, and the newest one's updated_at (None: there is no row)."""
        ...

    def page(self, selection: Selection, *, newest: str, after: str | None, limit: int) -> Page:
        """The next rows by key after `after`, updated no later than `newest`: at most `limit`,
        fewer where the server has a limit of its own, none at the end."""
        ...


class PostgresDoor:
    def __init__(self, pool: ConnectionPool[psycopg.Connection[Any]]) -> None:
        self._pool = pool

    def extent(self, selection: Selection) -> tuple[int, str | None]:
        statement = sql.SQL("select count(*), max(updated_at)::text from {} {}").format(
            sql.Identifier("public", selection.view), _where(conditions := selection.conditions())
        )
        with connect.translate_errors(), self._pool.connection() as connection:
            row = connection.execute(statement, [value for *_, value in conditions]).fetchone()
        assert row is not None
        return row[0], row[1]

    def page(self, selection: Selection, *, newest: str, after: str | None, limit: int) -> Page:
        conditions = selection.conditions(newest=newest, after=after)
        statement = sql.SQL("select {} from {} {} order by {} limit %s").format(
            sql.SQL(", ").join(map(sql.Identifier, selection.columns)),
            sql.Identifier("public", selection.view),
            _where(conditions),
            sql.Identifier(selection.key),
        )
        values = [*(value for *_, value in conditions), limit]
        with (
            connect.translate_errors(),
            self._pool.connection() as connection,
            connection.cursor(row_factory=dict_row) as cursor,
        ):
            return cursor.execute(statement, values).fetchall()


def _where(conditions: Sequence[Condition]) -> sql.Composable:
    terms = [
        sql.SQL("{} {} %s").format(sql.Identifier(column), sql.SQL(OPERATORS[name]))
        for column, name, _ in conditions
    ]
    return sql.SQL("where ") + sql.SQL(" and ").join(terms) if terms else sql.SQL("")


class SupabaseDoor:
    """What `client`'s user may read; everything with a service key."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def extent(self, selection: Selection) -> tuple[int, str | None]:
        from postgrest.types import CountMethod

        query = self._client.table(selection.view).select("updated_at", count=CountMethod.exact)
        for condition in selection.conditions():
            query = query.filter(*condition)
        with supabase_api.translate_errors():
            reply = query.order("updated_at", desc=True).limit(1).execute()
        rows: Any = reply.data
        return reply.count or 0, rows[0]["updated_at"] if rows else None

    def page(self, selection: Selection, *, newest: str, after: str | None, limit: int) -> Page:
        query = self._client.table(selection.view).select(*selection.columns)
        for condition in selection.conditions(newest=newest, after=after):
            query = query.filter(*condition)
        with supabase_api.translate_errors():
            rows: Any = query.order(selection.key).limit(limit).execute().data
        return list(rows)
