"""`python -m benchmarks.costs`: what requests take of the processor, and memory over many of them.

    --requests 50000    of the users of benchmarks.load, without a pause; half their questions new
    --each 300          of each kind, one after the other, for the time of the processor

Needs no calm machine: processor time and memory are the service's own.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from benchmarks.corpora import corpora
from benchmarks.load import CLOSED_LOOP_USERS, MIXED, locust, serving, write_questions

STEPS = 10
WARM_UP = 60
ERRORS = re.compile(r"^\d+ +\S+ \S+: .*$", re.MULTILINE)
COUNTED = re.compile(r"^promptly_http_requests_total\{.*\} (\S+)$", re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.costs")
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--each", type=int, default=300)
    asked = parser.parse_args()
    corpus = corpora()[-1]
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), corpus) as (port, api):
        home = Path(folder)
        processor = Processor(api, home / "service" / "postgres")
        by_kind(port, list(corpus.questions.values()), asked.each, processor)
        if asked.requests:
            memory(port, write_questions(home, corpus), asked.requests, api, processor)


class Processor:
    """Seconds that the API's process and the database's have worked."""

    def __init__(self, api: psutil.Process, data_dir: Path) -> None:
        self._api = api
        self._postmaster = psutil.Process(int((data_dir / "postmaster.pid").read_text().split()[0]))
        self._connections: dict[int, float] = {}

    def read(self) -> tuple[float, float]:
        for one in (self._postmaster, *self._postmaster.children()):
            with suppress(psutil.NoSuchProcess):  # what it did until the last reading is counted
                self._connections[one.pid] = _worked(one)
        return _worked(self._api), sum(self._connections.values())


def _worked(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def by_kind(port: int, questions: list[str], each: int, processor: Processor) -> None:
    """Each question once to each kind: no answer is given again but in the last."""
    chosen = [questions[n % len(questions)] for n in range(each)]
    random.Random(1).shuffle(chosen)
    kinds: dict[str, Callable[[int, str], dict[str, Any]]] = {
        "search": lambda n, one: {"query": one},
        "answer": lambda n, one: {"question": f"{one} ({n})", "k": 5},
        "stream": lambda n, one: {"question": f"{one} ({n + 10_000})", "k": 5, "stream": True},
        "answer again": lambda n, one: {"question": chosen[0], "k": 5},
    }
    client = http.client.HTTPConnection("127.0.0.1", port)
    for name, body in kinds.items():
        path = "/v1/search" if name == "search" else "/v1/answers"
        for n in range(-WARM_UP, 0):
            ask(client, path, body(n, chosen[n]))
        before = processor.read()
        for n, question in enumerate(chosen):
            ask(client, path, body(n, question))
        ours, database = (
            after - first for after, first in zip(processor.read(), before, strict=True)
        )
        print(
            f"{name}: {ours / each * 1000:.2f} ms of the processor in the API's process, "
            f"{database / each * 1000:.2f} ms in the database",
            flush=True,
        )


def ask(client: http.client.HTTPConnection, path: str, body: dict[str, Any]) -> None:
    client.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    reply = client.getresponse()
    reply.read()
    assert reply.status == 200, reply.status


def memory(
    port: int, questions: Path, requests: int, api: psutil.Process, processor: Processor
) -> None:
    """Resident memory as it goes, and what the last half added."""
    sizes: list[float] = []
    with users(port, questions):
        first, before = answered(port), processor.read()
        for step in range(STEPS + 1):
            while answered(port) - first < requests * step / STEPS:
                time.sleep(0.2)
            sizes.append(api.memory_info().rss / 1e6)
            print(f"after {answered(port) - first:.0f} requests: {sizes[-1]:.1f} MB", flush=True)
        worked = [after - then for after, then in zip(processor.read(), before, strict=True)]
        done = answered(port) - first
    grown = sizes[-1] / sizes[STEPS // 2] - 1
    print(
        f"the last half of {done:.0f} requests added {grown:.1%}; a request took "
        f"{worked[0] / done * 1000:.2f} ms of the processor in the API's process and "
        f"{worked[1] / done * 1000:.2f} ms in the database"
    )


def answered(port: int) -> float:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    client.request("GET", "/metrics")
    return sum(float(count) for count in COUNTED.findall(client.getresponse().read().decode()))


@contextmanager
def users(port: int, questions: Path) -> Iterator[None]:
    """Asking as fast as they are answered."""
    command, environment = locust(
        port, questions, MIXED, CLOSED_LOOP_USERS, ["-r", str(CLOSED_LOOP_USERS)], new=0.5
    )
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield
    finally:
        process.terminate()
        summary, _ = process.communicate()
        failed = re.search(r"Aggregated +(\d+) +(\d+)\(", summary)
        print(f"{failed[2]} of {failed[1]} failed" if failed else summary)
        for line in ERRORS.findall(summary):
            print(f"  {line}")


if __name__ == "__main__":
    main()
