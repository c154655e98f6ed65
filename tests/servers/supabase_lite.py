"""Supabase's HTTP API, Auth and Storage, as its own package `@supabase/lite` serves them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx
from psycopg.conninfo import conninfo_to_dict

from model_pipeline.store.migrations import migrate
from tests.servers.ports import free_port, wait_for_port

FOLDER = Path(__file__).parent / "supabase"
PROGRAM = FOLDER / "node_modules/@supabase/lite/dist/cli/index.js"
# Files as a newer Node streams them: Storage's downloads are empty with those of Node 20.
BYTES = FOLDER / "files-as-bytes.cjs"
JWT_SECRET = "signs-the-tokens-of-the-tests-and-nothing-else"


@dataclass(frozen=True, slots=True)
class SupabaseServer:
    """`conninfo` leads to the same database directly, as its owner."""

    url: str
    anon_key: str
    service_key: str
    jwt_secret: str
    conninfo: str

    def sign_up(self, email: str) -> tuple[UUID, str]:
        """A new user's id and access token."""
        reply = httpx.post(
            f"{self.url}/auth/v1/signup",
            headers={"apikey": self.anon_key},
            json={"email": email, "password": "correct horse battery"},
        )
        given = reply.raise_for_status().json()
        return UUID(given["user"]["id"]), given["access_token"]


def missing() -> str | None:
    if shutil.which("node") is None:
        return "node is not installed"
    return None if PROGRAM.exists() else "Supabase's HTTP API is not installed"


@contextmanager
def running(conninfo: str, folder: Path) -> Iterator[SupabaseServer]:
    """Migrates the database, then serves it."""
    migrate(conninfo)
    given = conninfo_to_dict(conninfo)
    port = free_port()
    server = SupabaseServer(
        f"http://127.0.0.1:{port}", "sb_publishable_test", "sb_secret_test", JWT_SECRET, conninfo
    )
    (folder / "supabase").mkdir()
    (folder / "supabase" / "config.toml").write_text(
        f'[api]\nport = {port}\n[db]\ndriver = "postgres"\nurl = "postgres:///{given["dbname"]}"\n'
        f'[auth]\njwt_secret = "{server.jwt_secret}"\npublishable_key = "{server.anon_key}"\n'
        f'secret_key = "{server.service_key}"\n[storage]\nenabled = true\n'
    )
    environment = {  # a URL cannot name a Unix socket's folder here, the environment can
        "PATH": os.environ["PATH"],
        "PGHOST": str(given["host"]),
        "PGUSER": str(given["user"]),
        "LITE_TELEMETRY": "0",
        "EXPERIMENTAL_STORAGE": "1",
        "NODE_OPTIONS": f"--require={BYTES}",
    }
    with (folder / "lite.log").open("wb") as log:
        process = subprocess.Popen(
            ["node", "--require", str(BYTES), str(PROGRAM), "start", "--no-admin"],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        wait_for_port(port, process, folder / "lite.log")
        yield server
    finally:
        process.terminate()
        process.wait(10)
