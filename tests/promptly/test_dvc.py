"""Training data as DVC keeps it: made by the stage that is shipped, put back by its hash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.promptly.material import House, write_documents

PROJECT = Path(__file__).parents[2]
PROGRAM = PROJECT / ".venv-dvc/bin/dvc"
FILES = ("dvc.yaml", "params.yaml", ".dvc/config", ".dvc/.gitignore", ".dvcignore")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """With what DVC needs of the project, and the `promptly` of these tests on its path."""
    if not PROGRAM.exists():
        pytest.skip("DVC is not installed: make test installs it")
    folder = tmp_path / "checkout"
    (folder / ".dvc").mkdir(parents=True)
    for name in FILES:
        shutil.copy(PROJECT / name, folder / name)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "promptly"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m promptly "$@"\n')
    program.chmod(0o755)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    return folder


def test_a_stage_makes_it_and_a_hash_brings_it_back(
    checkout: Path, module_database: str, embedder_cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "cache").symlink_to(embedder_cache)
    write_documents(tmp_path)
    house = House(tmp_path, module_database)
    house.run("ingest", str(tmp_path / "shop"), "--collection", "shop")
    environment = {
        **os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(PROJECT), "PROMPTLY_HOME": str(tmp_path / "home"),
        "PROMPTLY_DATABASE_URL": module_database,
    }  # fmt: skip

    def dvc(*arguments: str) -> None:
        done = subprocess.run(
            [PROGRAM, *arguments], cwd=checkout, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def locked() -> dict[str, Any]:
        stage = yaml.safe_load((checkout / "dvc.lock").read_text())["stages"]["training-data"]
        assert stage["params"]["params.yaml"]["training_data"]["n"] == 5000
        (out,) = stage["outs"]
        return dict(out)

    dvc("repro", "--quiet")
    data = checkout / "data" / "training"
    made = {path.name: path.read_bytes() for path in data.iterdir()}
    first = locked()
    assert first["path"] == "data/training" and first["nfiles"] == len(made) == 5
    dvc("repro", "--quiet")
    assert locked() == first  # of the same material the same
    shutil.rmtree(data)
    dvc("checkout", "--quiet")
    assert {path.name: path.read_bytes() for path in data.iterdir()} == made
    assert "/training" in (checkout / "data" / ".gitignore").read_text()
