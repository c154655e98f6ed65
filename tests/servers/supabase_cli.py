"""The Supabase CLI, as its own package for npm brings it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

PACKAGES = Path(__file__).parent / "supabase/node_modules/@supabase"
PROGRAM = PACKAGES / "cli-linux-x64/bin/supabase"
PROJECT = Path(__file__).parents[2]


def push(database_url: str, home: Path, *, project: Path = PROJECT) -> str:
    """`supabase db push` of a project's migrations; returns what it said."""
    address = f"--remote={database_url}"
    done = subprocess.run(
        [PROGRAM, "db", "push", address, "--yes", "--workdir", project],
        cwd=project,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "DO_NOT_TRACK": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
