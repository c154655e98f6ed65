"""Pools and the translation of the driver's errors."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psycopg
import pytest
from psycopg import errors as pg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from model_pipeline.errors import (
    ConfigurationError,
    InvalidInput,
    PromptlyError,
    StoreUnavailable,
    Unavailable,
)
from model_pipeline.store.connect import (
    connection_arguments,
    for_libpq,
    open_async_pool,
    open_pool,
    translate_errors,
)
from model_pipeline.store.embedded import embedded_postgres
from model_pipeline.store.migrations import migrate


def test_connections_are_set_up(database: str) -> None:
    with open_pool(database, min_size=1, max_size=1) as pool, pool.connection() as connection:
        assert connection.execute("show search_path").fetchone() == ("public,extensions",)
        assert connection.execute("show statement_timeout").fetchone() == ("30s",)
        assert connection.execute("show application_name").fetchone() == ("promptly",)


def test_the_same_for_async(database: str) -> None:
    import asyncio

    async def check() -> tuple[object, ...] | None:
        async with (
            open_async_pool(database, min_size=1, max_size=1) as pool,
            pool.connection() as connection,
        ):
            cursor = await connection.execute("show search_path")
            return await cursor.fetchone()

    assert asyncio.run(check()) == ("public,extensions",)


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ("postgresql://u:p@h:6543/d", "postgresql://u:p@h:6543/d"),
        ("postgresql://u:p@h:6432/d?pgbouncer=true", "postgresql://u:p@h:6432/d?"),
        (
            "postgresql://h/d?pgbouncer=true&sslmode=require",
            "postgresql://h/d?sslmode=require",
        ),
        (
            "postgresql://h/d?sslmode=require&pgbouncer=true",
            "postgresql://h/d?sslmode=require&",
        ),
        ("host=h pgbouncer=true dbname=d", "host=h dbname=d"),
    ],
)
def test_nothing_of_the_session_is_used_behind_a_transaction_pooler(given: str, left: str) -> None:
    arguments = connection_arguments(given)
    assert arguments["prepare_threshold"] is None
    assert "options" not in arguments
    assert for_libpq(given) == left
    conninfo_to_dict(left)


def test_a_password_is_no_mark() -> None:
    given = "postgresql://u:pgbouncer=true@h/d"
    assert connection_arguments(given)["prepare_threshold"] == 0
    assert for_libpq(given) == given


def test_given_options_are_kept() -> None:
    options = connection_arguments("host=h options='-c work_mem=1MB'")["options"]
    assert options.startswith("-c work_mem=1MB ")


@pytest.mark.parametrize(
    ("query", "expected", "words"),
    [
        ("select * from nowhere", ConfigurationError, "promptly db migrate"),
        ("set statement_timeout = 20; select pg_sleep(2)", Unavailable, "took too long"),
        ("select 'x'::int", InvalidInput, "cannot take this value"),
        ("select pg_terminate_backend(pg_backend_pid())", StoreUnavailable, "does not answer"),
        ("do $$ begin raise program_limit_exceeded; end $$", InvalidInput, "of this size"),
        ("do $$ begin raise disk_full; end $$", StoreUnavailable, "disk is full"),
    ],
)
def test_errors_become_ours(
    database: str, query: str, expected: type[PromptlyError], words: str
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        with pytest.raises(expected, match=words) as caught, translate_errors():
            connection.execute(query.encode())
        assert isinstance(caught.value.__cause__, psycopg.Error)


@pytest.mark.parametrize(("text", "words"), [("a\0b", "NUL"), ("a\ud800b", "surrogate")])
def test_text_that_postgres_cannot_hold(database: str, text: str, words: str) -> None:
    with (
        psycopg.connect(database) as connection,
        pytest.raises(InvalidInput, match=words),
        translate_errors(),
    ):
        connection.execute("select %s::text", (text,))


def test_a_bad_url_is_a_setting_to_mend() -> None:
    with pytest.raises(ConfigurationError, match="PROMPTLY_DATABASE_URL"):
        connection_arguments("not a url")


@pytest.mark.parametrize("wrong", [{"dbname": "absent"}, {"user": "absent"}])
def test_a_name_that_the_server_does_not_know_is_a_setting_to_mend(
    database: str, wrong: dict[str, str]
) -> None:
    with pytest.raises(ConfigurationError, match='"absent" does not exist'), translate_errors():
        psycopg.connect(make_conninfo(database, **wrong))


def test_a_pool_opens_without_a_database_and_says_so_when_used(tmp_path: Path) -> None:
    with open_pool(f"host={tmp_path} user=postgres", min_size=1, max_size=1) as pool:
        pool.timeout = 0.2
        with pytest.raises(StoreUnavailable), translate_errors(), pool.connection():
            pass


def test_the_first_use_after_a_restart_works(tmp_path: Path) -> None:
    data_dir = tmp_path / "postgres"
    with embedded_postgres(data_dir) as conninfo:
        migrate(conninfo)
        with open_pool(conninfo, min_size=2, max_size=2) as pool:
            with pool.connection() as connection:
                connection.execute("select 1")
            postmaster = (data_dir / "postmaster.pid").read_text().splitlines()[0]
            os.kill(int(postmaster), signal.SIGKILL)
            deadline = time.monotonic() + 20
            while True:
                try:
                    psycopg.connect(conninfo).close()
                    break
                except psycopg.OperationalError:
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
            for _ in range(4):
                with translate_errors(), pool.connection() as connection:
                    assert connection.execute("select 1").fetchone() == (1,)


def terminate_others(conninfo: str) -> None:
    with psycopg.connect(conninfo) as connection:
        ended = connection.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        ).fetchall()
        assert (True,) in ended


def test_closed_connections_are_replaced_unnoticed(database: str) -> None:
    import asyncio

    async def check() -> object:
        async with open_async_pool(database, min_size=2, max_size=2) as pool:
            await pool.wait()
            terminate_others(database)
            for _ in range(4):
                async with pool.connection() as connection:
                    cursor = await connection.execute("select 1")
            return await cursor.fetchone()

    with open_pool(database, min_size=2, max_size=2) as pool:
        pool.wait()
        terminate_others(database)
        for _ in range(4):
            with pool.connection() as connection:
                assert connection.execute("select 1").fetchone() == (1,)
    assert asyncio.run(check()) == (1,)


def test_pool_error_keeps_its_cause() -> None:
    with pytest.raises(StoreUnavailable) as caught, translate_errors():
        raise pg.DeadlockDetected("deadlock detected")
    assert isinstance(caught.value.__cause__, pg.DeadlockDetected)
