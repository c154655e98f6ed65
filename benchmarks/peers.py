"""The peers as a process of their own, so that neither side pays for the other's imports."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".venv-bench" / "bin" / "python"


@dataclass
class Peer:
    process: subprocess.Popen[str]

    def call(self, name: str, *arguments: Any) -> tuple[float, Any]:
        """Seconds the call took in there, and what it gave."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps([name, arguments]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("The peer stopped: its reason stands above.")
        reply = json.loads(line)
        return reply["seconds"], reply["result"]


@contextmanager
def peer() -> Iterator[Peer]:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    process = subprocess.Popen(
        [PYTHON, Path(__file__).parent / "peer.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout
    if json.loads(process.stdout.readline() or "null") != "ready":
        raise SystemExit("The peer did not start: its reason stands above.")
    try:
        yield Peer(process)
    finally:
        process.kill()
        process.wait()
