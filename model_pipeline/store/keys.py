"""Service keys: how machines are let in. Nothing is cached, so that a revoked key opens nothing
more."""

from __future__ import annotations

import hmac
import re
import secrets
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from model_pipeline.domain import Caller, Collection, Role, ServiceKey
from model_pipeline.errors import InvalidInput, NotFound, Unauthorized
from model_pipeline.store.connect import translate_errors

PREFIX = "promptly_"
SECRET_BYTES = 32
TOKEN = re.compile(r"promptly_([0-9a-f]{32})_([0-9a-f]{64})")
MAX_NAME = 200
NOT_VALID = "The service key is not valid: have one made with `promptly keys create`."
EXPIRED = "The service key has expired: have another made with `promptly keys create`."
REVOKED = "The service key was revoked: have another made with `promptly keys create`."
# Compared with where there is no such key, so that there is nothing to tell it by.
NOBODYS = bytes(32)

KEY = """
select secret_hash, revoked_at is not null, expires_at <= now(),
    coalesce(last_used_at < now() - interval '1 minute', true)
from service_keys where key_id = %s
"""
USED = """
update service_keys set last_used_at = now()
where key_id = %s and coalesce(last_used_at < now() - interval '1 minute', true)
"""
KEYS = """
select key_id, name,
    case when revoked_at is not null then 'revoked' when expires_at <= now() then 'expired'
        else 'active' end,
    to_char(created_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
    to_char(expires_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
    to_char(last_used_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
from service_keys order by service_keys.created_at, key_id
"""
SCOPES = """
select m.user_id, c.collection_id, c.name, c.visibility, m.role
from members as m join collections as c using (collection_id)
join service_keys as k on k.key_id = m.user_id order by c.name, c.collection_id
"""


class PgKeys:
    """Makes, lists and revokes keys, as the database's own user."""

    def __init__(self, pool: ConnectionPool[psycopg.Connection[Any]]) -> None:
        self._pool = pool

    def create(
        self, name: str, scopes: Mapping[str, Role], *, lifetime: timedelta
    ) -> tuple[ServiceKey, str]:
        """The key and its token, which is shown here and never again. `scopes` are collections, by
        name or id, and what the key may do with each. Raises NotFound, InvalidInput."""
        if not name.strip() or len(name) > MAX_NAME or "\0" in name:
            raise InvalidInput(f"A key's name has 1 to {MAX_NAME} characters.")
        if not scopes:
            raise InvalidInput("A key opens nothing by itself: name a collection for it.")
        key_id, secret = uuid4(), secrets.token_hex(SECRET_BYTES)
        with self._transaction() as connection:
            connection.execute(
                "insert into service_keys (key_id, name, secret_hash, expires_at) "
                "values (%s, %s, %s, now() + %s)",
                (key_id, name, _hash(secret), lifetime),
            )
            for collection, role in scopes.items():
                connection.execute(
                    "insert into members (collection_id, user_id, role) values (%s, %s, %s) "
                    "on conflict (collection_id, user_id) do update set role = excluded.role",
                    (_collection(connection, collection), key_id, role),
                )
            made = next(one for one in _keys(connection) if one.key_id == key_id)
        return made, f"{PREFIX}{key_id.hex}_{secret}"

    def all(self) -> list[ServiceKey]:
        """Oldest first, revoked and expired ones too."""
        with self._transaction() as connection:
            return _keys(connection)

    def revoke(self, key_id: UUID) -> None:
        """It opens nothing from now on. Raises NotFound; revoking twice changes nothing."""
        with self._transaction() as connection:
            found = connection.execute(
                "update service_keys set revoked_at = coalesce(revoked_at, now()) "
                "where key_id = %s",
                (key_id,),
            ).rowcount
            if not found:
                raise NotFound(f"There is no key {key_id}: `promptly keys list` shows them.")
            connection.execute("delete from members where user_id = %s", (key_id,))

    @contextmanager
    def _transaction(self) -> Iterator[psycopg.Connection[Any]]:
        with translate_errors(), self._pool.connection() as one, one.transaction():
            yield one


class KeyCheck:
    """From a key's token to who asks. One short statement a request, and another once a minute."""

    def __init__(self, pool: AsyncConnectionPool[psycopg.AsyncConnection[Any]]) -> None:
        self._pool = pool

    async def __call__(self, token: str) -> Caller:
        """Raises Unauthorized; only to who has the right secret it says what became of the key."""
        shape = TOKEN.fullmatch(token)
        if shape is None:
            raise Unauthorized(NOT_VALID)
        key_id, secret = UUID(shape[1]), shape[2]
        with translate_errors():
            async with self._pool.connection() as connection:
                row = await (await connection.execute(KEY, (key_id,))).fetchone()
                known, revoked, expired, unnoted = row or (NOBODYS, False, False, False)
                if not hmac.compare_digest(known, _hash(secret)):
                    raise Unauthorized(NOT_VALID)
                if revoked or expired:
                    raise Unauthorized(REVOKED if revoked else EXPIRED)
                if unnoted:
                    await connection.execute(USED, (key_id,))
        return Caller("authenticated", {"sub": str(key_id), "role": "authenticated"})


def _hash(secret: str) -> bytes:
    return sha256(secret.encode()).digest()


def _keys(connection: psycopg.Connection[Any]) -> list[ServiceKey]:
    scopes: dict[UUID, list[Collection]] = defaultdict(list)
    for key_id, *scope in connection.execute(SCOPES):
        scopes[key_id].append(Collection(*scope))
    return [
        ServiceKey(key_id, name, state, tuple(scopes[key_id]), *times)
        for key_id, name, state, *times in connection.execute(KEYS)
    ]


def _collection(connection: psycopg.Connection[Any], wanted: str) -> UUID:
    rows = connection.execute(
        "select collection_id from collections where name = %(it)s or collection_id::text = %(it)s",
        {"it": wanted},
    ).fetchall()
    if not rows:
        raise NotFound(f"There is no collection {wanted!r}: make it first, by an ingest into it.")
    if len(rows) > 1:
        ids = ", ".join(str(one) for (one,) in rows)
        raise InvalidInput(f"Several collections are called {wanted!r}: give an id ({ids}).")
    found: UUID = rows[0][0]
    return found
