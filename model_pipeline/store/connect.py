"""Connections: pools, their settings, and the one place where psycopg's errors become ours."""

from __future__ import annotations

import logging
import math
import re
import select
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import psycopg
from pgvector.psycopg.halfvec import register_halfvec_info
from psycopg import errors as pg
from psycopg.conninfo import conninfo_to_dict
from psycopg.types import TypeInfo
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolTimeout

from model_pipeline.errors import (
    ConfigurationError,
    EmbedderMismatch,
    InvalidInput,
    PromptlyError,
    StoreUnavailable,
    Unavailable,
)

STATEMENT_TIMEOUT_S = 30
CONNECT_TIMEOUT_S = 5
# Seconds to wait for a free connection: past that the database is gone or swamped.
POOL_TIMEOUT_S = 5.0
# The same where somebody waits for a reply: a database that restarts within half a second is not
# noticed, one that is away is told before a second is over.
ONLINE_POOL_TIMEOUT_S = 0.8
TRANSACTION_POOLER_PORT = "6543"  # Supabase's
# The mark that Supabase's and Prisma's URLs carry for any other; libpq does not know it.
TRANSACTION_POOLER_MARK = re.compile(r"(?<=[?&\s])pgbouncer=true(&|\s|$)")

KEEPALIVES = {  # a network that swallows packets is noticed within half a minute
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
# Refused for good, by the words of PostgreSQL and of Supabase's pooler; connecting has no SQLSTATE.
REFUSED = re.compile(
    r'authentication failed|(role|database) ".*" does not exist|no pg_hba.conf entry|'
    r"no password supplied|Tenant or user not found"
)

EMBEDDER_MISMATCH = "PT409"  # of search_chunks

# The pool reports each failed attempt to connect; callers get that as StoreUnavailable.
logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)


def for_libpq(conninfo: str) -> str:
    return TRANSACTION_POOLER_MARK.sub("", conninfo)


def connection_arguments(
    conninfo: str, *, statement_timeout_s: float = STATEMENT_TIMEOUT_S
) -> dict[str, Any]:
    """What every connection gets. Behind a transaction pooler neither session settings nor
    prepared statements hold: there the SQL functions' own settings must do."""
    arguments: dict[str, Any] = {
        "autocommit": True,
        "connect_timeout": CONNECT_TIMEOUT_S,
        "application_name": "promptly",
        **KEEPALIVES,
    }
    with translate_errors():
        given = conninfo_to_dict(for_libpq(conninfo))
    pooled = str(given.get("port", "")) == TRANSACTION_POOLER_PORT
    if pooled or TRANSACTION_POOLER_MARK.search(conninfo):
        return arguments | {"prepare_threshold": None}
    options = (
        f"{given.get('options', '')} -c search_path=public,extensions "
        f"-c statement_timeout={math.ceil(statement_timeout_s * 1000)}ms -c jit=off"
    )
    return arguments | {"options": options.strip(), "prepare_threshold": 0}


def connect(conninfo: str) -> psycopg.Connection[Any]:
    """As the pools do, but without prepared statements, so that this works through any pooler."""
    arguments = connection_arguments(conninfo) | {"prepare_threshold": None}
    with translate_errors():
        return psycopg.connect(for_libpq(conninfo), **arguments)


@contextmanager
def open_pool(
    conninfo: str,
    *,
    min_size: int,
    max_size: int,
    timeout_s: float = POOL_TIMEOUT_S,
    statement_timeout_s: float = STATEMENT_TIMEOUT_S,
) -> Iterator[ConnectionPool[psycopg.Connection[Any]]]:
    """`timeout_s` is how long to wait for a connection. A lost one is tried for anew until half of
    that is over, and from then on whenever somebody asks: so the database is found as soon as it is
    back."""
    pool = ConnectionPool(
        for_libpq(conninfo),
        kwargs=connection_arguments(conninfo, statement_timeout_s=statement_timeout_s),
        min_size=min_size,
        max_size=max_size,
        timeout=timeout_s,
        reconnect_timeout=timeout_s / 2,
        configure=register,
        check=_check,
        open=False,
    )
    with translate_errors():
        pool.open(wait=False)
    try:
        yield pool
    finally:
        pool.close(timeout=2)


@asynccontextmanager
async def open_async_pool(
    conninfo: str,
    *,
    min_size: int,
    max_size: int,
    timeout_s: float = POOL_TIMEOUT_S,
    statement_timeout_s: float = STATEMENT_TIMEOUT_S,
) -> AsyncIterator[AsyncConnectionPool[psycopg.AsyncConnection[Any]]]:
    """As `open_pool`."""
    pool = AsyncConnectionPool(
        for_libpq(conninfo),
        kwargs=connection_arguments(conninfo, statement_timeout_s=statement_timeout_s),
        min_size=min_size,
        max_size=max_size,
        timeout=timeout_s,
        reconnect_timeout=timeout_s / 2,
        configure=_register_async,
        check=_check_async,
        open=False,
    )
    with translate_errors():
        await pool.open(wait=False)
    try:
        yield pool
    finally:
        await pool.close(timeout=2)


# By its full name: behind a transaction pooler the search path is the database's own.
HALFVEC = "extensions.halfvec"


def register(connection: psycopg.Connection[Any]) -> None:
    register_halfvec_info(connection, _present(TypeInfo.fetch(connection, HALFVEC)))


async def _register_async(connection: psycopg.AsyncConnection[Any]) -> None:
    register_halfvec_info(connection, _present(await TypeInfo.fetch(connection, HALFVEC)))


def _present(info: TypeInfo | None) -> TypeInfo:
    if info is None:  # before the first migration; the pool tries again
        raise psycopg.errors.UndefinedObject(f"the type {HALFVEC} is not there")
    return info


def _check(connection: psycopg.Connection[Any]) -> None:
    """Have the pool replace a connection that its server has closed. Costs microseconds: only where
    something unasked lies in the socket, such as its end, is the server asked."""
    if _has_news(connection):
        ConnectionPool.check_connection(connection)


async def _check_async(connection: psycopg.AsyncConnection[Any]) -> None:
    if _has_news(connection):
        await AsyncConnectionPool.check_connection(connection)


def _has_news(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn psycopg's errors into PromptlyError; use around every access to the database."""
    try:
        yield
    except (psycopg.Error, PoolTimeout) as error:
        raise _translated(error) from error
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"The text has half of a surrogate pair (U+{ord(error.object[error.start]):04X}), "
            "which is no character: remove it."
        ) from error


def _translated(error: Exception) -> PromptlyError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    match error:
        case psycopg.Error() if error.sqlstate == EMBEDDER_MISMATCH:
            return EmbedderMismatch(
                "Another embedder made the stored vectors than the question's: embed it anew."
            )
        case pg.DiskFull():
            return StoreUnavailable(
                "The database's disk is full: free space on it, then try again.", retry_after_s=60
            )
        case pg.QueryCanceled():
            return Unavailable(
                "The database took too long and was stopped: try again, or ask for less."
            )
        case pg.UndefinedTable() | pg.UndefinedFunction() | pg.UndefinedColumn():
            return ConfigurationError(
                f"The database's schema is not the one expected ({reason}): run "
                "`promptly db migrate`."
            )
        case pg.InsufficientPrivilege():
            return ConfigurationError(
                f"The database user may not do this ({reason}): grant it, or connect as another."
            )
        case psycopg.ProgrammingError() if not error.sqlstate:
            return ConfigurationError(
                f"PROMPTLY_DATABASE_URL cannot be used ({reason}): give a Postgres URL such as "
                "postgresql://user:password@host:5432/name."
            )
        case psycopg.OperationalError() if "unsupported startup parameter" in reason:
            return ConfigurationError(
                f"PROMPTLY_DATABASE_URL leads through a pooler ({reason}): add `pgbouncer=true` to "
                "its parameters, as in postgresql://user:password@host:6432/name?pgbouncer=true."
            )
        case PoolTimeout():
            return StoreUnavailable(
                f"The database gave no connection ({reason}): try again shortly, or see what "
                "`promptly doctor` says."
            )
        case psycopg.OperationalError() if not error.sqlstate and REFUSED.search(reason):
            return ConfigurationError(
                f"The database lets nobody in by PROMPTLY_DATABASE_URL ({reason}): correct the "
                "user, password or database name in it."
            )
        case pg.ProgramLimitExceeded():
            return InvalidInput(f"The database cannot take a value of this size: {reason}.")
        case psycopg.DataError():
            return InvalidInput(f"The database cannot take this value: {reason}.")
        case pg.RaiseException():  # our functions' own sentences
            return InvalidInput(reason)
        case pg.InternalError_():
            return ConfigurationError(f"The database refused: {reason}")
        case psycopg.OperationalError() | psycopg.InterfaceError():
            return StoreUnavailable(f"The database does not answer ({reason}): try again shortly.")
        case _:
            return ConfigurationError(f"The database refused: {reason}")
