"""`python -m benchmarks.load`: the service under load, against one user, and against the peer's.

    --seconds 300    how long the users stay
    --users 64       how many there are; each thinks for a second, on average, between two requests
    --requests 0     so many more, without a pause, to see whether the memory stays flat

The load comes from locust, on the same machine: it and the service share the cores.
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
from collections.abc import Iterator, Mapping
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
MIXED = {"search": 7, "answers": 2, "streams": 1}
CLOSED_LOOP_USERS = 16
THROUGHPUT_S = 30


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load")
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--users", type=int, default=64)
    parser.add_argument("--requests", type=int, default=0)
    asked = parser.parse_args()
    corpus = corpora()[-1]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        questions = home / "questions.json"
        questions.write_text(json.dumps(list(corpus.questions.values())), encoding="utf-8")
        with serving(home, corpus) as (port, process):
            alone(port, list(corpus.questions.values()))
            ours = load(port, questions, {"search": 1}, THROUGHPUT_S, CLOSED_LOOP_USERS)
            with peer_serving(home, corpus) as other:
                theirs = load(other, questions, {"search": 1}, THROUGHPUT_S, CLOSED_LOOP_USERS)
            print(
                f"search, requests a second of {CLOSED_LOOP_USERS} users without a pause: "
                f"{ours['rate']:.0f} against {theirs['rate']:.0f} of FastAPI around "
                f"langchain-postgres: {ours['rate'] / theirs['rate']:.1f} times"
            )
            under_load(port, questions, asked.seconds, asked.users)
            if asked.requests:
                memory(port, questions, asked.requests, process)


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
    one = load(port, questions, MIXED, 20, 1, think_s=0.1)
    many = load(port, questions, MIXED, seconds, users, think_s=1.0)
    print(
        f"{users} users for {seconds} s: {many['requests']:.0f} requests, "
        f"{many['failures']:.0f} failed, {many['rate']:.0f} a second, p50 {many['p50']:.0f} ms, "
        f"p99 {many['p99']:.0f} ms, {many['p99'] / one['p50']:.1f} times one user's p50 "
        f"({one['p50']:.0f} ms)"
    )


def memory(port: int, questions: Path, requests: int, process: psutil.Process) -> None:
    load(port, questions, MIXED, 20, CLOSED_LOOP_USERS)  # what grows at first only
    sizes = [process.memory_info().rss / 1e6]
    done = 0.0
    while done < requests:
        done += load(port, questions, MIXED, 60, CLOSED_LOOP_USERS)["requests"]
        sizes.append(process.memory_info().rss / 1e6)
    shown = ", ".join(f"{size:.0f}" for size in sizes)
    print(f"memory over {done:.0f} requests, MB, each minute: {shown}")


def load(
    port: int,
    questions: Path,
    paths: Mapping[str, int],
    seconds: int,
    users: int,
    *,
    think_s: float = 0,
) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        command = [
            str(PYTHON), "-m", "locust", "--headless", "--only-summary", "--loglevel", "ERROR",
            "-f", str(HERE / "users.py"), "--host", f"http://127.0.0.1:{port}",
            "-u", str(users), "-r", str(users), "-t", f"{seconds}s", "--csv", f"{folder}/load",
            "--exit-code-on-error", "0",
        ]  # fmt: skip
        environment = {
            **os.environ,
            "QUESTIONS": str(questions),
            "THINK_S": str(think_s),
            "PATHS": json.dumps(paths),
        }
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"locust failed: {done.stderr}")
        with (Path(folder) / "load_stats.csv").open(encoding="utf-8") as file:
            row = next(one for one in csv.DictReader(file) if one["Name"] == "Aggregated")
    if float(row["Failure Count"]):
        print(done.stdout[-2000:], file=sys.stderr)
    return {
        "requests": float(row["Request Count"]),
        "failures": float(row["Failure Count"]),
        "rate": float(row["Requests/s"]),
        "p50": float(row["50%"]),
        "p99": float(row["99%"]),
    }


@contextmanager
def serving(home: Path, corpus: Corpus) -> Iterator[tuple[int, psutil.Process]]:
    """`promptly up` over the corpus: the API's port and process."""
    port = free_port()
    environment = {
        **os.environ,
        "PROMPTLY_HOME": str(home / "service"),
        "PROMPTLY_API_PORT": str(port),
        "PROMPTLY_UI_PORT": str(free_port()),
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
