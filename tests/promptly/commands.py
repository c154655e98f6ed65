"""`promptly ...` in a process of its own, forked from one that has imported what takes a second."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.model_pipeline.crashing import processes


def promptly(
    *arguments: str, environment: Mapping[str, str], limit_s: float = 240
) -> subprocess.CompletedProcess[str]:
    """Run to its end, with `environment` beside this process's own."""
    with TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = processes().Process(
            target=_main, args=(arguments, {**os.environ, **environment}, out, err)
        )
        process.start()
        process.join(limit_s)
        process.kill()
        process.join()
        assert process.exitcode is not None
        return subprocess.CompletedProcess(
            arguments, process.exitcode, out.read_text(), err.read_text()
        )


def _main(arguments: tuple[str, ...], environment: dict[str, str], out: Path, err: Path) -> None:
    for descriptor, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["promptly", *arguments]
    # Not before: it looks at once whether it writes to a terminal.
    from promptly.cli.app import main

    main()
