"""`python -m benchmarks.fuzz [--seconds 600]`: requests made up from the OpenAPI document.

Schemathesis makes them up, valid and not, alone and in sequences, and holds every reply against the
document: no 5xx, no status, header or body that it does not tell of, nothing taken that it forbids.
Left out is that all which its schemas let through be taken: a source's settings depend on its kind,
and a sentence says what is wrong with them.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

from benchmarks.corpora import corpora
from benchmarks.load import serving
from benchmarks.peers import PYTHON

LEFT_OUT = ("positive_data_acceptance", "ignored_auth")  # nobody signs in here


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz")
    parser.add_argument("--seconds", type=int, default=600)
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder), corpora()[0]) as (port, _),
    ):
        command = [
            *(str(PYTHON), "-m", "schemathesis.cli", "run"),
            f"http://127.0.0.1:{port}/openapi.json",
            *("--checks", "all", "--exclude-checks", ",".join(LEFT_OUT)),
            *("--max-time", str(asked.seconds), "--no-color", "--warnings", "off"),
        ]
        raise SystemExit(subprocess.run(command, cwd=folder).returncode)


if __name__ == "__main__":
    main()
