"""`python -m benchmarks.load`: the service under load, against one user, and against the peer's.

    --seconds 300    how long the users stay, once all have come
    --users 64       how many there are; each thinks for a second, on average, between two requests
    --no-peer        without the peer's service

The load comes from locust, on the same machine: it and the service share the cores. Users come one
after the other within RAMP_S, as people do; what they ask until all are there is not counted.
"""

from __future__ import annotations

import argparse
import csv
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg

from benchmarks.corpora import Corpus, corpora
from benchmarks.peers import PYTHON, peer
from benchmarks.service import free_port
from model_pipeline.store.embedded import embedded_postgres

HERE = Path(__file__).parent
MIXED = {"search": 14, "answers": 4, "streams": 2, "follow": 1, "rate": 2, "look": 1}
RAMP_S = 10
CLOSED_LOOP_USERS = 16
THROUGHPUT_S = 30


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load")
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--users", type=int, default=64)
    parser.add_argument("--no-peer", action="store_true")
    asked = parser.parse_args()
    corpus = corpora()[-1]
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), corpus) as (port, _):
        home = Path(folder)
        questions = write_questions(home, corpus)
        alone(port, list(corpus.questions.values()))
        if not asked.no_peer:
            against_peer(port, home, corpus, questions)
        under_load(port, questions, asked.seconds, asked.users)


def against_peer(port: int, home: Path, corpus: Corpus, questions: Path) -> None:
    search = {"search": 1}
    ours = load(port, questions, search, THROUGHPUT_S, CLOSED_LOOP_USERS)["Aggregated"]
    with peer_serving(home, corpus) as other:
        theirs = load(other, questions, search, THROUGHPUT_S, CLOSED_LOOP_USERS)["Aggregated"]
    print(
        f"search, requests a second of {CLOSED_LOOP_USERS} users without a pause: "
        f"{ours['rate']:.0f} against {theirs['rate']:.0f} of FastAPI around "
        f"langchain-postgres: {ours['rate'] / theirs['rate']:.1f} times"
    )


def alone(port: int, questions: list[str]) -> None:
    """One user, one connection: medians, each question once to each endpoint, in turns."""
    client = http.client.HTTPConnection("127.0.0.1", port)
    took: dict[str, list[float]] = {"search": [], "answers": [], "streams": []}
    for question in questions:
        for kind, path, body in (
            ("search", "/v1/search", {"query": question}),
            ("answers", "/v1/answers", {"question": question}),
            # Another k, or the answer before would be given again.
            ("streams", "/v1/answers", {"question": question, "stream": True, "k": 4}),
        ):
            started = time.perf_counter()
            client.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            reply = client.getresponse()
            reply.read(1)  # of a stream, its first byte
            took[kind].append(time.perf_counter() - started)
            reply.read()
    base = statistics.median(took["search"])
    for kind, times in took.items():
        middle = statistics.median(times)
        what = "first byte of a stream" if kind == "streams" else kind
        print(f"one user, {what}: p50 {middle * 1000:.1f} ms, {middle / base:.2f} of search's")


def under_load(port: int, questions: Path, seconds: int, users: int) -> None:
    one = load(port, questions, MIXED, 20, 1, think_s=0.1)["Aggregated"]
    found = load(port, questions, MIXED, seconds, users, think_s=1.0, ramp_s=RAMP_S)
    many = found["Aggregated"]
    print(
        f"{users} users for {seconds} s: {many['requests']:.0f} requests, "
        f"{many['failures']:.0f} failed, {many['rate']:.0f} a second, p50 {many['p50']:.0f} ms, "
        f"p99 {many['p99']:.0f} ms, {many['p99'] / one['p50']:.1f} times one user's p50 "
        f"({one['p50']:.0f} ms)"
    )
    for kind, row in found.items():
        print(
            f"  {kind}: {row['requests']:.0f} requests, p50 {row['p50']:.0f} ms, "
            f"p99 {row['p99']:.0f} ms"
        )


def write_questions(home: Path, corpus: Corpus) -> Path:
    path = home / "questions.json"
    path.write_text(json.dumps(list(corpus.questions.values())), encoding="utf-8")
    return path


def load(
    port: int,
    questions: Path,
    paths: Mapping[str, int],
    seconds: int,
    users: int,
    *,
    think_s: float = 0,
    ramp_s: int = 0,
) -> dict[str, dict[str, float]]:
    """By kind of request and "Aggregated": how many, failed, a second, and percentiles in ms; of
    the `seconds` after the users have come, which takes `ramp_s`."""
    with tempfile.TemporaryDirectory() as folder:
        stats = [
            "-r", str(users / ramp_s if ramp_s else users), "-t", f"{seconds + ramp_s}s",
            "--csv", f"{folder}/load", *(("--reset-stats",) if ramp_s else ()),
        ]  # fmt: skip
        command, environment = locust(port, questions, paths, users, stats, think_s=think_s)
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"locust failed: {done.stderr}")
        with (Path(folder) / "load_stats.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    found = {
        row["Name"]: {
            "requests": float(row["Request Count"]),
            "failures": float(row["Failure Count"]),
            "rate": float(row["Requests/s"]),
            "p50": float(row["50%"]),
            "p99": float(row["99%"]),
        }
        for row in rows
        if float(row["Request Count"])
    }
    if found["Aggregated"]["failures"]:
        print(done.stdout[-2000:], file=sys.stderr)
    return found


def locust(
    port: int,
    questions: Path,
    paths: Mapping[str, int],
    users: int,
    more: Sequence[str],
    *,
    think_s: float = 0,
    new: float = 0,
) -> tuple[list[str], dict[str, str]]:
    """The command, and its environment; `new` is the share of questions that are asked once."""
    command = [
        str(PYTHON), "-m", "locust", "--headless", "--only-summary", "--loglevel", "ERROR",
        "-f", str(HERE / "users.py"), "--host", f"http://127.0.0.1:{port}",
        "-u", str(users), "--exit-code-on-error", "0", *more,
    ]  # fmt: skip
    environment = {
        **os.environ,
        "QUESTIONS": str(questions),
        "THINK_S": str(think_s),
        "NEW": str(new),
        "PATHS": json.dumps(paths),
    }
    return command, environment


@contextmanager
def serving(home: Path, corpus: Corpus, **settings: str) -> Iterator[tuple[int, psutil.Process]]:
    """`promptly up` over the corpus, with `settings` as environment variables: the API's port and
    process."""
    port = free_port()
    environment = {
        **os.environ,
        "PROMPTLY_HOME": str(home / "service"),
        "PROMPTLY_API_PORT": str(port),
        "PROMPTLY_UI_PORT": str(free_port()),
        **settings,
    }
    promptly = [sys.executable, "-m", "promptly"]
    quiet: dict[str, Any] = {"env": environment, "stdout": subprocess.DEVNULL}
    subprocess.run(
        [*promptly, "ingest", str(corpus.path), "-c", corpus.collection], check=True, **quiet
    )
    process = subprocess.Popen([*promptly, "up"], **quiet)
    try:
        wait_for(port, "/readyz")
        children = psutil.Process(process.pid).children(recursive=True)
        yield port, next(one for one in children if one.cmdline()[-1:] == ["api"])
    finally:
        process.terminate()
        process.wait()


@contextmanager
def peer_serving(home: Path, corpus: Corpus) -> Iterator[int]:
    """The peer's service over the same corpus, on the same database server."""
    with embedded_postgres(home / "service" / "postgres") as conninfo, peer() as other:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute("create database peer")
        socket = conninfo.split()[0].removeprefix("host=")
        with psycopg.connect(f"host={socket} dbname=peer user=postgres") as connection:
            connection.execute("create extension vector")
        url = f"postgresql+psycopg://postgres@/peer?host={socket}"
        other.call("open", url)
        other.call("ingest", list(corpus.passages.values()), list(corpus.passages))
        port = free_port()
        command = [str(PYTHON), "-m", "uvicorn", "peer_service:app", "--port", str(port)]
        environment = {**os.environ, "PEER_URL": url, "HF_HUB_OFFLINE": "1"}
        process = subprocess.Popen([*command, "--log-level", "error"], cwd=HERE, env=environment)
        try:
            wait_for(port, "/docs")
            yield port
        finally:
            process.terminate()
            process.wait()


def wait_for(port: int, path: str, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while True:
        try:
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            client.request("GET", path)
            if client.getresponse().status == 200:
                return
        except OSError:
            pass
        if time.monotonic() > until:
            raise SystemExit(f"Nothing answers at port {port}.")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
