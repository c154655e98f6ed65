"""Statements as the person who asks: row-level security decides what they see and change."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg.errors import InsufficientPrivilege
from psycopg_pool import ConnectionPool

from model_pipeline.domain import Caller
from model_pipeline.errors import Forbidden
from model_pipeline.store.connect import translate_errors

# All hold until the transaction ends, so that they are safe behind a transaction pooler. Supabase's
# auth.uid() looks at the last first; older ones look there alone.
BECOME = """
select set_config('role', %(role)s, true), set_config('request.jwt.claims', %(claims)s, true),
    set_config('request.jwt.claim.sub', %(sub)s, true)
"""


@contextmanager
def connection_as(
    pool: ConnectionPool[psycopg.Connection[Any]],
    caller: Caller | None,
    *,
    begin: LiteralString | None = None,
) -> Iterator[psycopg.Connection[Any]]:
    """A connection on which everything is done as `caller`, in one transaction; without one, as its
    own user, and in a transaction only where `begin` (the first statement of one) is given. Raises
    Forbidden where row-level security refuses a change."""
    with translate_errors(), pool.connection() as connection:
        if caller is None and begin is None:
            yield connection
            return
        try:
            with connection.transaction():
                if begin is not None:
                    connection.execute(begin)
                if caller is not None:
                    connection.execute(BECOME, to_settings(caller))
                yield connection
        except InsufficientPrivilege as error:
            raise Forbidden("This is not yours to change: ask its owner.") from error


def to_settings(caller: Caller) -> dict[str, str]:
    claims = dict(caller.claims)
    return {"role": caller.role, "claims": json.dumps(claims), "sub": str(claims.get("sub", ""))}


@asynccontextmanager
async def as_caller(
    connection: psycopg.AsyncConnection[Any], caller: Caller | None
) -> AsyncIterator[None]:
    """What runs inside runs as `caller`, in one transaction and one round trip; as the
    connection's own user where there is none."""
    if caller is None:
        yield
        return
    async with connection.pipeline(), connection.transaction():
        await connection.execute(BECOME, to_settings(caller))
        yield
