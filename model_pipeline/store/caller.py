"""Statements as the person who asks: row-level security decides what they see and change."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg

from model_pipeline.domain import Caller

# Both hold until the transaction ends, so that they are safe behind a transaction pooler.
BECOME = (
    "select set_config('role', %(role)s, true), set_config('request.jwt.claims', %(claims)s, true)"
)


def become(connection: psycopg.Connection[Any], caller: Caller) -> None:
    """Until the transaction that is under way ends."""
    connection.execute(BECOME, to_settings(caller))


def to_settings(caller: Caller) -> dict[str, str]:
    return {"role": caller.role, "claims": json.dumps(dict(caller.claims))}


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
