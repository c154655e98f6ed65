"""`python -m benchmarks.fuzz [--seconds 600]`: requests made up from the OpenAPI document.

Schemathesis makes them up, valid and not, alone and in sequences, signed in as somebody with
collections, sources and conversations of their own, whose ids are often put in (fuzz_hooks.py); and
holds every reply against the document: no 5xx, no status, header or body that it does not tell of,
nothing taken that it forbids. An operation that never succeeds was not reached: that fails, too.

LEFT_OUT: that all which the schemas let through be taken, since a source's settings depend on its
kind, and a sentence says what is wrong with them; and that operations refuse who is not signed in,
which depends on what is public: tests/promptly/test_matrix.py has that, for every route.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from uuid import uuid4

import jwt
import psycopg

from benchmarks.corpora import corpora
from benchmarks.load import serving
from benchmarks.peers import PYTHON
from model_pipeline.store.embedded import embedded_postgres

HERE = Path(__file__).parent
LEFT_OUT = ("positive_data_acceptance", "ignored_auth")
SECRET = "a secret of more than thirty-two bytes"
SETTINGS = {
    "SUPABASE_JWT_SECRET": SECRET,
    "PROMPTLY_RATE_PER_MINUTE": "0",
    "PROMPTLY_CONCURRENCY_PER_CALLER": "0",
    "PROMPTLY_BIAS_POLICY": "flag",  # answers have verdicts, to be reviewed
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz")
    parser.add_argument("--seconds", type=int, default=600)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with serving(home, corpora()[0], **SETTINGS) as (port, _):
            with (
                embedded_postgres(home / "service" / "postgres") as conninfo,
                psycopg.connect(conninfo) as connection,
            ):
                connection.execute("update collections set visibility = 'public'")
            raise SystemExit(fuzz(f"http://127.0.0.1:{port}", home, asked.seconds))


def fuzz(address: str, home: Path, seconds: int) -> int:
    """The exit status."""
    claims = {"sub": str(uuid4()), "role": "authenticated", "aud": "authenticated"}
    token = jwt.encode({**claims, "exp": time.time() + 86_400}, SECRET)
    tally = home / "tally.json"
    command = [
        *(str(PYTHON), "-m", "schemathesis.cli", "run", f"{address}/openapi.json"),
        *("--checks", "all", "--exclude-checks", ",".join(LEFT_OUT)),
        *("--header", f"Authorization: Bearer {token}", "--continue-on-failure"),
        *("--max-time", str(seconds), "--no-color", "--warnings", "off"),
    ]
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": str(HERE / "fuzz_hooks.py"),
        "FUZZ_ADDRESS": address,
        "FUZZ_TOKEN": token,
        "FUZZ_TALLY": str(tally),
    }
    status = subprocess.run(command, cwd=home, env=environment).returncode
    told: dict[str, dict[str, int]] = json.loads(tally.read_text(encoding="utf-8"))
    for operation, statuses in sorted(told.items()):
        counts = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
        print(f"{operation}: {counts}")
    unreached = [one for one, statuses in told.items() if not any(s < "300" for s in statuses)]
    for operation in unreached:
        print(f"never succeeded: {operation}")
    print(f"{sum(sum(statuses.values()) for statuses in told.values())} requests")
    return status or int(bool(unreached))


if __name__ == "__main__":
    main()
