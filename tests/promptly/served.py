"""`promptly api` as a process, as a server runs it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.servers.ports import free_port

KEPT = ("PATH", "HOME", "LANG", "PYTHONPATH", "VIRTUAL_ENV")


@dataclass
class Served:
    process: subprocess.Popen[bytes]
    address: str
    log: Path
    """All that it printed."""

    def ask(self, question: str, **more: object) -> httpx.Response:
        body = {"question": question, **more}
        return httpx.post(f"{self.address}/v1/answers", json=body, timeout=30, trust_env=False)

    def search(self, query: str) -> httpx.Response:
        body = {"query": query}
        return httpx.post(f"{self.address}/v1/search", json=body, timeout=30, trust_env=False)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(f"{self.address}{path}", headers=headers, timeout=30, trust_env=False)


@contextmanager
def served(database: str, home: Path, **settings: object) -> Iterator[Served]:
    """With `settings` as environment variables; stopped by SIGTERM at the end."""
    port = free_port()
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    environment |= {
        "PROMPTLY_HOME": str(home),
        "PROMPTLY_DATABASE_URL": database,
        "PROMPTLY_API_PORT": str(port),
    }
    environment |= {name: str(value) for name, value in settings.items()}
    home.mkdir(exist_ok=True)
    log = home / f"output-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "promptly", "api"],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=Path(__file__).resolve().parents[2],
        )
    made = Served(process, f"http://127.0.0.1:{port}", log)
    try:
        deadline = time.monotonic() + 60
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            try:
                if made.get("/readyz").is_success:
                    break
            except httpx.TransportError:
                pass  # not listening yet
            time.sleep(0.05)
        yield made
    finally:
        process.terminate()
        process.wait(60)
