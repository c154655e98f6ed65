"""`promptly ...` in a process of its own, forked from one that has imported what takes a second."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.model_pipeline.crashing import processes


def promptly(
    *arguments: str,
    environment: Mapping[str, str],
    folder: Path | None = None,
    limit_s: float = 240,
) -> subprocess.CompletedProcess[str]:
    """Run to its end in `folder`, with `environment` beside this process's own."""
    with TemporaryDirectory() as scratch:
        out, err = Path(scratch, "out"), Path(scratch, "err")
        process = started(*arguments, environment=environment, folder=folder, out=out, err=err)
        process.join(limit_s)
        process.kill()
        process.join()
        assert process.exitcode is not None
        return subprocess.CompletedProcess(
            arguments, process.exitcode, out.read_text(), err.read_text()
        )


def started(
    *arguments: str,
    environment: Mapping[str, str],
    folder: Path | None = None,
    out: Path = Path(os.devnull),
    err: Path = Path(os.devnull),
) -> ForkServerProcess:
    """The same, under way."""
    whole = {**os.environ, **environment}
    process = processes().Process(target=_main, args=(arguments, whole, folder, out, err))
    process.start()
    return process


def _main(
    arguments: tuple[str, ...],
    environment: dict[str, str],
    folder: Path | None,
    out: Path,
    err: Path,
) -> None:
    for descriptor, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    if folder:
        os.chdir(folder)
    sys.argv = ["promptly", *arguments]
    # Not before: it looks at once whether it writes to a terminal.
    from promptly.cli.app import main

    main()
