"""The checks of the server and the way to it, against real servers and a real PgBouncer."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from model_pipeline.errors import StoreUnavailable
from model_pipeline.store.diagnosis import diagnose, server
from tests.servers.ports import free_port


@pytest.mark.parametrize(
    ("offset", "state", "words"),
    [(0, "ok", ""), (4, "ok", ""), (60, "warning", "60 s ahead"), (-60, "warning", "60 s behind")],
)
def test_clock_skew(offset: int, state: str, words: str) -> None:
    now = datetime.now(UTC)
    verdict = server.clock_verdict(now, now + timedelta(seconds=offset), now)
    assert verdict.state == state
    assert words in verdict.detail


@pytest.mark.parametrize("user", ["postgres", None])
def test_many_connections_are_told(database: str, role: str, user: str | None) -> None:
    with ExitStack() as held:
        for _ in range(80):
            held.enter_context(psycopg.connect(database))
        (found, *_) = diagnose(make_conninfo(database, user=user or role))
    assert (found.name, found.state) == ("connections", "warning")
    assert "lower PROMPTLY_POOL_SIZE" in found.detail


def test_exhausted_connections_are_told(database: str, role: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(f"alter role {role} connection limit 1")
    as_role = make_conninfo(database, user=role)
    with psycopg.connect(as_role), pytest.raises(StoreUnavailable, match=r"exhausted.*POOL_SIZE"):
        list(diagnose(as_role))


@pytest.fixture
def pgbouncer(database: str, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Starts a PgBouncer of some pool mode; gives the conninfo through it."""
    program = shutil.which("pgbouncer")
    if program is None:
        pytest.skip("PgBouncer is not installed")
    parts = conninfo_to_dict(database)
    host = str(parts["host"])
    with ExitStack() as running:

        def start(mode: str) -> str:
            port = free_port()
            config = tmp_path / f"{mode}.ini"
            config.write_text(
                f"[databases]\n* = host={host} user=postgres\n[pgbouncer]\n"
                f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
                f"auth_type = any\npool_mode = {mode}\n"
                "ignore_startup_parameters = options,extra_float_digits\n"
            )
            config.chmod(0o644)
            # It refuses to run as root, and cannot enter this folder as another.
            there = Path(host).stat()
            as_owner = [
                "setpriv",
                f"--reuid={there.st_uid}",
                f"--regid={there.st_gid}",
                "--clear-groups",
            ]
            with config.open() as stdin:
                process = subprocess.Popen(
                    [*(as_owner if os.getuid() == 0 else []), program, "/dev/stdin"],
                    stdin=stdin,
                    stderr=subprocess.DEVNULL,
                )
            running.callback(process.wait)
            running.callback(process.terminate)
            return f"postgresql://postgres@127.0.0.1:{port}/{parts['dbname']}"

        yield start


@pytest.mark.parametrize(("mode", "state"), [("transaction", "error"), ("session", "ok")])
def test_a_transaction_pooler_is_told(
    pgbouncer: Callable[[str], str], mode: str, state: str
) -> None:
    conninfo = pgbouncer(mode)
    deadline = time.monotonic() + 10
    while True:
        try:
            found = {one.name: one for one in diagnose(conninfo)}
            break
        except StoreUnavailable:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert found["pooler"].state == state, found["pooler"].detail
    if state == "error":
        assert "prepare_threshold=None" in found["pooler"].detail
