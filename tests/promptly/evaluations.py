"""`promptly evaluate` over files in a folder of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from tests.promptly.commands import promptly


@dataclass(frozen=True)
class Evaluations:
    folder: Path
    database: str

    def write(self, name: str, rows: Sequence[Any]) -> str:
        path = self.folder / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    def environment(self, **more: str) -> dict[str, str]:
        home = str(self.folder / "home")
        return {
            "PROMPTLY_HOME": home, "PROMPTLY_DATABASE_URL": self.database, "COLUMNS": "200", **more
        }  # fmt: skip

    def run(self, *arguments: str, **environment: str) -> CompletedProcess[str]:
        """Names of files that were written here stand for their paths."""
        known = {path.name: str(path) for path in self.folder.iterdir()}
        return promptly(
            *(known.get(one, one) for one in arguments),
            environment=self.environment(**environment),
        )


def evaluations(folder: Path, database: str, embedder_cache: Path) -> Evaluations:
    """With the models of `embedder_cache`, and nothing that others keep of what they did."""
    cache = folder / "home" / "cache"
    cache.mkdir(parents=True)
    for one in embedder_cache.iterdir():
        if ".sqlite" not in one.name:
            (cache / one.name).symlink_to(one)
    return Evaluations(folder, database)


def as_json(done: CompletedProcess[str], code: int = 0) -> dict[str, Any]:
    assert done.returncode == code, (done.returncode, done.stderr, done.stdout)
    assert "Traceback" not in done.stderr
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed
