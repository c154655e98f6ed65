"""A real PgBouncer, pooling by transactions, or by sessions as Supabase's session pooler does."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from psycopg.conninfo import conninfo_to_dict

from tests.servers.ports import free_port, wait_for_port

SERVER_CONNECTIONS = 2


def program() -> str | None:
    return shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin")


@contextmanager
def running(
    server: str, folder: Path, *, pool_mode: Literal["transaction", "session"] = "transaction"
) -> Iterator[int]:
    """The port on which each database of `server` is reached over two connections."""
    given = conninfo_to_dict(server)
    port = free_port()
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n* = host={given['host']} user={given['user']}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = any\npool_mode = {pool_mode}\ndefault_pool_size = {SERVER_CONNECTIONS}\n"
        "max_client_conn = 200\n"
    )
    command = [str(program()), "--quiet", str(settings)]
    if os.geteuid() == 0:  # it refuses to be root; the server's user can reach the server's socket
        command += ["--user", Path(str(given["host"])).owner()]
    with (folder / "pgbouncer.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for_port(port, process, folder / "pgbouncer.log")
        yield port
    finally:
        process.terminate()
        process.wait(10)
