"""The MLflow server as its image starts it: the Dockerfile's own command, environment and health
check, in the environment that tests/servers/install-python.sh makes."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PROGRAMS = PROJECT / ".venv-mlflow/bin"
DOCKERFILE = (PROJECT / "mlflow/Dockerfile").read_text(encoding="utf-8")
START_S = 180


def commands() -> dict[str, list[str]]:
    """What the image runs: CMD, and that of HEALTHCHECK."""
    joined = DOCKERFILE.replace("\\\n", " ")
    check, command = re.findall(r"CMD (\[.*\])", joined)
    return {"start": json.loads(command), "check": json.loads(check)}


def environment() -> dict[str, str]:
    found = re.search(r"^ENV (.*)$", DOCKERFILE.replace("\\\n", " "), re.MULTILINE)
    assert found
    return dict(one.split("=", 1) for one in shlex.split(found[1]))


def healthy(port: int) -> bool:
    """By the image's own check."""
    check = commands()["check"]
    done = subprocess.run(
        [PROGRAMS / check[0], *check[1:]],
        env={"MLFLOW_PORT": str(port)},
        capture_output=True,
        check=False,
        timeout=30,
    )
    return done.returncode == 0


@contextmanager
def mlflow_server(folder: Path, backend: str) -> Iterator[str]:
    """Its address, once it is healthy; artifacts are kept in `folder`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = commands()["start"]
    given = {
        "MLFLOW_HOST": "127.0.0.1",
        "MLFLOW_PORT": str(port),
        "MLFLOW_WORKERS": "1",
        "MLFLOW_BACKEND_STORE_URI": backend,
        "MLFLOW_ARTIFACTS_DESTINATION": str(folder / "artifacts"),
        "HOME": str(folder),
        "PYTHONDONTWRITEBYTECODE": "",  # the image's is written as it is built
        "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [PROGRAMS / start[0], *start[1:]],
            cwd=folder,
            env={**environment(), **given},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            _wait(process, port, folder / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0 and healthy(port):
                return
        time.sleep(0.2)
    raise AssertionError(f"It ended with {process.poll()}: " + log.read_text("utf-8")[-2000:])
