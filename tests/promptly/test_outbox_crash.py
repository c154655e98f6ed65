"""Answers and feedback, while the database and the service are killed again and again: what was
told is there in the end, once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from model_pipeline.store.embedded import embedded_postgres
from model_pipeline.store.migrations import migrate
from tests.servers.ports import free_port

KILLS = 10
TEXT = "# Museum\n\nThe museum opens at nine in the morning. It closes at five.\n"


@dataclass
class Api:
    """A process of the service, started again after each kill, at the same address."""

    database: str
    home: Path
    port: int
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        given = {"PROMPTLY_DATABASE_URL": self.database, "PROMPTLY_HOME": str(self.home)}
        with (self.home / f"api-{self.port}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "promptly", "api", "--port", str(self.port)],
                env=os.environ | given, stdout=log, stderr=log,
            )  # fmt: skip

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def wait(self) -> None:
        deadline = time.monotonic() + 60
        while not self.is_ready():
            assert self.process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=10, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass
class Told:
    """What a client was told: answers by their id, and of each the last comment that was taken."""

    questions: dict[str, str] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)


def talk(apis: list[Api], told: Told, stop: threading.Event, chance: random.Random) -> None:
    """Ask, and say something of what was answered before, at either process."""
    with httpx.Client(timeout=40, trust_env=False) as client:
        while not stop.is_set():
            body: dict[str, Any] = {"question": f"When does the museum open, {uuid4()}?"}
            reply = post(client, chance.choice(apis), "/v1/answers", body, told)
            if reply is not None and reply.status_code == 200:
                told.questions[reply.json()["answer_id"]] = body["question"]
            for answer_id in chance.sample(sorted(told.questions), min(2, len(told.questions))):
                said = {"answer_id": answer_id, "rating": "up", "comment": str(uuid4())}
                reply = post(client, chance.choice(apis), "/v1/feedback", said, told)
                if reply is None:  # it may have been taken, or not
                    told.comments.pop(answer_id, None)
                    del told.questions[answer_id]
                elif reply.is_success:
                    told.comments[answer_id] = said["comment"]


def post(
    client: httpx.Client, api: Api, path: str, body: dict[str, Any], told: Told
) -> httpx.Response | None:
    try:
        reply = client.post(f"{api.url}{path}", json=body)
    except httpx.HTTPError:
        time.sleep(0.05)
        return None
    told.statuses[reply.status_code] += 1
    assert reply.status_code in (200, 202, 503), reply.text  # and never 404
    return reply


@contextmanager
def two_processes(database: str, home: Path) -> Iterator[list[Api]]:
    apis = [Api(database, home, free_port()) for _ in range(2)]
    for api in apis:
        api.start()
    try:
        for api in apis:
            api.wait()
        yield apis
    finally:
        for api in apis:
            api.kill()


def wait_for_more(tolds: list[Told]) -> None:
    """So that each kill meets a service at work, however slow the machine is."""
    deadline = time.monotonic() + 60
    wanted = sum(told.statuses[200] for told in tolds) + 20
    while sum(told.statuses[200] for told in tolds) < wanted:
        assert time.monotonic() < deadline, "the service does not come back"
        time.sleep(0.01)


def wait_for_database(database: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(database, connect_timeout=2).close()
            return
        except psycopg.OperationalError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.timeout(600)
def test_none_lost_none_doubled(tmp_path: Path, embedder_cache: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "cache").symlink_to(embedder_cache)
    stop = threading.Event()
    seed = int(os.environ.get("PROMPTLY_CRASH_SEED", random.SystemRandom().randrange(10**6)))
    sys.stdout.write(f"PROMPTLY_CRASH_SEED={seed}\n")
    chance = random.Random(seed)
    data_dir = tmp_path / "postgres"
    with embedded_postgres(data_dir) as database:
        migrate(database)
        with two_processes(database, home) as apis:
            text = {"text": TEXT, "source": "museum.md"}
            assert httpx.post(f"{apis[0].url}/v1/documents", json=text, timeout=60).is_success
            tolds = [Told() for _ in range(4)]
            threads = [
                threading.Thread(target=talk, args=(apis, one, stop, random.Random(f"{seed}{n}")))
                for n, one in enumerate(tolds)
            ]
            for thread in threads:
                thread.start()
            for kill in range(KILLS):
                wait_for_more(tolds)
                time.sleep(chance.uniform(0.0, 0.5))
                postmaster = int((data_dir / "postmaster.pid").read_text().split()[0])
                os.kill(postmaster, chance.choice((signal.SIGKILL, signal.SIGQUIT)))  # at once
                if kill % 3 == 1:  # with the database away: all is in its file alone
                    time.sleep(chance.uniform(0.0, 0.2))
                    apis[kill % 2].kill()
                    apis[kill % 2].start()
                wait_for_database(database)
            time.sleep(1)
            stop.set()
            for thread in threads:
                thread.join(60)
                assert not thread.is_alive()
            apis[0].kill()  # and its file is for the other
            apis[0].process.wait()
            deadline = time.monotonic() + 60
            while any(one.stat().st_size for one in (home / "outbox").glob("*.outbox")):
                assert time.monotonic() < deadline, "something still waits"
                time.sleep(0.1)
        check(database, tolds)
        assert not (home / "outbox" / "dead.jsonl").exists()


def check(database: str, tolds: list[Told]) -> None:
    with psycopg.connect(database) as connection:
        answers = {
            str(answer): question
            for answer, question in connection.execute("select answer_id, question from answers")
        }
        rows = connection.execute("select answer_id, comment from feedback").fetchall()
        comments = {str(answer): comment for answer, comment in rows}
        (listed,) = connection.execute("select count(*) from conversations").fetchone() or (0,)
    questions = {answer: text for told in tolds for answer, text in told.questions.items()}
    said = {answer: text for told in tolds for answer, text in told.comments.items()}
    statuses = sum((told.statuses for told in tolds), Counter[int]())
    sys.stdout.write(f"{len(questions)} answers, {len(said)} with feedback, {statuses}\n")
    assert questions.items() <= answers.items(), "an answer was lost"
    assert said.items() <= comments.items(), "feedback was lost, or is an older one"
    assert len(set(answers.values())) == len(answers) == listed, "an answer is there twice"
    assert len(questions) > KILLS and len(said) > KILLS and statuses[202]
