"""Collections and their members: who may read, write and share what."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
from psycopg.errors import InsufficientPrivilege, UniqueViolation
from psycopg_pool import ConnectionPool

from model_pipeline.domain import Caller, Collection, Member, Role, Visibility
from model_pipeline.errors import Conflict, Forbidden, InvalidInput, NotFound
from model_pipeline.store.caller import connection_as

MAX_NAME = 200
# The whole subqueries are computed once a statement.
COLLECTIONS = """
select c.collection_id, c.name, c.visibility, case
    when reads_everything() or c.collection_id = any((select my_collections('owner'))::uuid[])
        then 'owner'
    when c.collection_id = any((select my_collections('editor'))::uuid[]) then 'editor'
    else 'reader'
end
from collections as c
"""
# The owner is one without standing in the table, and stays one whatever stands there.
MEMBERS = """
select one.user_id, one.role,
    to_char(one.created_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
from (
    select 0 as rank, owner_id as user_id, 'owner' as role, created_at from collections
    where collection_id = %(collection)s and owner_id is not null
    union all
    select 1, m.user_id, m.role, m.created_at from members as m join collections as c
    using (collection_id)
    where collection_id = %(collection)s and m.user_id is distinct from c.owner_id
) as one
order by one.rank, one.created_at, one.user_id
"""


class PgCollections:
    """Those that `caller` may see and change, or without one, the database's own user.

    What one may not see is not there (NotFound); what one sees and may not change is Forbidden.
    """

    def __init__(
        self, pool: ConnectionPool[psycopg.Connection[Any]], caller: Caller | None = None
    ) -> None:
        self._pool = pool
        self._caller = caller

    def visible(self) -> list[Collection]:
        """By name."""
        with connection_as(self._pool, self._caller) as connection:
            rows = connection.execute(COLLECTIONS + "order by c.name, c.collection_id").fetchall()
        return [Collection(*row) for row in rows]

    def create(self, name: str, visibility: Visibility) -> Collection:
        """Raises Conflict where one has one of that name."""
        require_name(name)
        try:
            with connection_as(self._pool, self._caller) as connection:
                row = connection.execute(
                    "insert into collections (name, visibility) values (%s, %s) "
                    "on conflict (owner_id, name) do nothing returning collection_id",
                    (name, visibility),
                ).fetchone()
        except Forbidden as error:
            raise Forbidden(
                "Collections are made by people who are signed in: without an account, or by a "
                "service key, none can be made."
            ) from error
        if row is None:
            raise _taken(name)
        return Collection(row[0], name, visibility, "owner")

    def change(
        self, collection_id: UUID, *, name: str | None, visibility: Visibility | None
    ) -> Collection:
        """What is None stays."""
        if name is not None:
            require_name(name)
        with connection_as(self._pool, self._caller) as connection:
            _own(connection, collection_id)
            try:
                row = connection.execute(
                    "update collections set name = coalesce(%s, name), "
                    "visibility = coalesce(%s, visibility) where collection_id = %s "
                    "returning collection_id, name, visibility, 'owner'",
                    (name, visibility, collection_id),
                ).fetchone()
            except UniqueViolation as error:
                raise _taken(str(name)) from error
            except InsufficientPrivilege as error:
                raise Forbidden(
                    "Only who made a collection renames it: ask them; its visibility is yours to "
                    "change."
                ) from error
        if row is None:  # meanwhile
            raise NotFound(f"There is no collection {collection_id}.")
        return Collection(*row)

    def delete(self, collection_id: UUID) -> None:
        """With all that is in it."""
        with connection_as(self._pool, self._caller) as connection, connection.transaction():
            _own(connection, collection_id)
            lock_collection(connection, collection_id)
            connection.execute("delete from collections where collection_id = %s", (collection_id,))

    def members(self, collection_id: UUID) -> list[Member]:
        """The owner first, then by when they came."""
        with connection_as(self._pool, self._caller) as connection:
            _own(connection, collection_id)
            return _members(connection, collection_id)

    def set_member(self, collection_id: UUID, user_id: UUID, role: Role) -> Member:
        """Let someone in, or change what they may do."""
        with connection_as(self._pool, self._caller) as connection:
            _own(connection, collection_id)
            _require_other(connection, collection_id, user_id)
            try:
                connection.execute(
                    "insert into members (collection_id, user_id, role) values (%s, %s, %s) "
                    "on conflict (collection_id, user_id) do update set role = excluded.role",
                    (collection_id, user_id, role),
                )
            except InsufficientPrivilege as error:
                raise Forbidden(
                    "A service key owns no collection: make it a reader or an editor."
                ) from error
            members = _members(connection, collection_id)
        return next(one for one in members if one.user_id == user_id)

    def remove_member(self, collection_id: UUID, user_id: UUID) -> None:
        with connection_as(self._pool, self._caller) as connection:
            _own(connection, collection_id)
            _require_other(connection, collection_id, user_id)
            gone = connection.execute(
                "delete from members where collection_id = %s and user_id = %s",
                (collection_id, user_id),
            ).rowcount
        if not gone:
            raise NotFound(f"{user_id} is no member of this collection.")


def require_name(name: str) -> None:
    if "\0" in name:
        raise InvalidInput("A collection's name has no NUL character: remove it.")
    if not name.strip() or len(name) > MAX_NAME:
        raise InvalidInput(
            f"A collection's name has 1 to {MAX_NAME} characters, and this one has "
            f"{len(name.strip())}."
        )


def lock_collection(connection: psycopg.Connection[Any], collection_id: UUID) -> None:
    """One writer at a time within a collection, so that two ingests of it cannot interleave."""
    connection.execute(
        "select pg_advisory_xact_lock(hashtextextended('statistics:' || %s::uuid, 0))",
        (collection_id,),
    )


def _own(connection: psycopg.Connection[Any], collection_id: UUID) -> None:
    """Raises where the caller is none of the collection's owners."""
    row = connection.execute("select my_role(%s)", (collection_id,)).fetchone()
    if row is None or row[0] is None:
        raise NotFound(f"There is no collection {collection_id}.")
    if row[0] != "owner":
        raise Forbidden("Only an owner of this collection may do this: ask one.")


def _require_other(connection: psycopg.Connection[Any], collection_id: UUID, user_id: UUID) -> None:
    row = connection.execute(
        "select owner_id from collections where collection_id = %s", (collection_id,)
    ).fetchone()
    if row is not None and row[0] == user_id:
        raise Conflict("Who made a collection stays its owner: delete the collection instead.")


def _members(connection: psycopg.Connection[Any], collection_id: UUID) -> list[Member]:
    return [Member(*row) for row in connection.execute(MEMBERS, {"collection": collection_id})]


def _taken(name: str) -> Conflict:
    return Conflict(f"You have a collection {name!r} already: choose another name.")
