"""The outbox over a database that is played: what it keeps, in which order, what becomes of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from model_pipeline.errors import StoreUnavailable, Unavailable
from model_pipeline.store.intake import Absent, Delayed, Entry, Outcome, Refused, Stored
from rag_service import outbox as outboxes
from rag_service import outbox_files
from rag_service.outbox import Outbox

REPO = Path(__file__).parents[2]


class Database:
    """Takes what it is given, by the word in it: any, "bad", "early" until it is not."""

    def __init__(self) -> None:
        self.away = False
        self.early = True
        self.taken: list[Any] = []

    def take(self, entries: Sequence[Entry]) -> list[Outcome]:
        if self.away:
            raise StoreUnavailable("The database does not answer.")
        return [self._take(entry) for entry in entries]

    def _take(self, entry: Entry) -> Outcome:
        if entry["data"] == "bad":
            return Refused("Never.")
        if entry["data"] == "early" and self.early:
            return Absent()
        self.taken.append(entry["data"])
        return Stored({"of": entry["user_id"]})


@pytest.fixture
def database() -> Database:
    return Database()


NewOutbox = Callable[..., Outbox]


@pytest.fixture
def new_outbox(tmp_path: Path, database: Database) -> Iterator[NewOutbox]:
    made: list[Outbox] = []

    def make(**options: Any) -> Outbox:
        made.append(Outbox(tmp_path / "outbox", database.take, **options))
        return made[-1]

    yield make
    for one in made:
        one.close(limit_s=0.5)


def eventually(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.005)


def files(folder: Path) -> list[Path]:
    return sorted((folder / "outbox").glob("*.outbox"))


def dead(folder: Path) -> list[dict[str, Any]]:
    found = folder / "outbox" / "dead.jsonl"
    return [json.loads(line) for line in found.read_text().splitlines()] if found.exists() else []


def test_what_is_put_is_stored_in_order_and_the_file_emptied(
    new_outbox: NewOutbox, database: Database, tmp_path: Path
) -> None:
    outbox = new_outbox()
    for n in range(500):
        outbox.put("answer", None, n)
    outbox.settled().result(10)
    assert outbox.ask("feedback", "ada", 500).result(10) == Stored({"of": "ada"})
    assert database.taken == list(range(501))
    eventually(lambda: outbox.waiting == 0)
    [file] = files(tmp_path)
    eventually(lambda: file.stat().st_size == 0)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    outbox.close()
    assert files(tmp_path) == []


def test_while_the_database_is_away_all_is_kept_and_then_stored_once(
    new_outbox: NewOutbox, database: Database, tmp_path: Path
) -> None:
    outbox = new_outbox()
    database.away = True
    assert isinstance(outbox.ask("feedback", None, 0).result(10), Delayed)
    began = time.monotonic()
    for n in range(1, 50):  # known to be away: nobody waits
        assert isinstance(outbox.ask("feedback", None, n).result(10), Delayed)
    assert time.monotonic() - began < 10
    outbox.settled().result(10)
    assert outbox.waiting == 50 and database.taken == []
    database.away = False
    eventually(lambda: outbox.waiting == 0)
    assert database.taken == list(range(50))


def test_times_tell_the_order(new_outbox: NewOutbox, tmp_path: Path, database: Database) -> None:
    database.away = True
    outbox = new_outbox()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: outbox.ask("feedback", None, n), range(200)))
    lines = [json.loads(line) for file in files(tmp_path) for line in file.read_text().splitlines()]
    times = [line["at"] for line in lines]
    assert len(set(times)) == 200 and times == sorted(times)


def test_one_that_is_refused_is_laid_aside_with_the_reason(
    new_outbox: NewOutbox, database: Database, tmp_path: Path
) -> None:
    outbox = new_outbox()
    outbox.put("answer", "ada", "bad")
    outbox.put("answer", "ada", "good")
    assert outbox.ask("feedback", "ada", "bad").result(10) == Refused("Never.")
    eventually(lambda: outbox.waiting == 0)
    assert database.taken == ["good"]
    assert [one["reason"] for one in dead(tmp_path)] == ["Never."] * 2
    assert json.loads(dead(tmp_path)[0]["entry"])["data"] == "bad"
    assert (tmp_path / "outbox" / "dead.jsonl").stat().st_mode & 0o777 == 0o600


def test_what_is_laid_aside_has_a_limit(
    new_outbox: NewOutbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_files, "DEAD_BYTES", 2_000)
    outbox = new_outbox()
    for _ in range(100):
        outbox.put("answer", "ada", "bad")
    eventually(lambda: outbox.waiting == 0)
    sizes = {one.name: one.stat().st_size for one in (tmp_path / "outbox").glob("dead*")}
    assert sizes.keys() == {"dead.jsonl", "dead.before.jsonl"} and max(sizes.values()) < 3_000


def test_what_is_about_nothing_is_told_so_or_waits_for_it(
    new_outbox: NewOutbox, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = new_outbox()
    assert outbox.ask("feedback", None, "early").result(10) == Absent()
    eventually(lambda: outbox.waiting == 0)  # its asker knows, and it is not stored later
    outbox.put("feedback", None, "early")
    outbox.put("feedback", None, "later")
    eventually(lambda: database.taken == ["later"])
    database.early = False
    eventually(lambda: database.taken == ["later", "early"])
    database.early = True
    monkeypatch.setattr(outboxes, "ABSENT_LIMIT", outboxes.ABSENT_LIMIT * 0)
    outbox.put("feedback", None, "early")
    eventually(lambda: outbox.waiting == 0)
    assert "no such answer" in dead(tmp_path)[0]["reason"]


def test_what_comes_before_the_answer_it_is_about_waits_a_moment_for_it(
    new_outbox: NewOutbox, database: Database
) -> None:
    outbox = new_outbox()
    threading.Timer(outboxes.ABSENT_S / 3, lambda: setattr(database, "early", False)).start()
    assert isinstance(outbox.ask("feedback", "ada", "early").result(10), Stored)
    database.early = True
    began = time.monotonic()
    assert outbox.ask("feedback", "ada", "early").result(10) == Absent()
    assert time.monotonic() - began >= outboxes.ABSENT_S
    eventually(lambda: outbox.waiting == 0)
    assert database.taken == ["early"]


def test_after_the_database_was_away_an_answer_that_is_not_there_is_waited_for(
    new_outbox: NewOutbox, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may have it still: who speaks of it is told that it is kept, as it is."""
    outbox = new_outbox()
    database.away = True
    assert isinstance(outbox.ask("feedback", None, 0).result(10), Delayed)
    database.away = False
    assert isinstance(outbox.ask("feedback", None, "early").result(10), Delayed)
    eventually(lambda: outbox.waiting == 1)
    database.early = False
    eventually(lambda: database.taken == [0, "early"])
    database.early = True
    monkeypatch.setattr(outboxes, "ABSENT_LIMIT", timedelta(seconds=outboxes.ABSENT_S))
    time.sleep(outboxes.ABSENT_S)
    assert outbox.ask("feedback", None, "early").result(10) == Absent()


def test_who_no_longer_waits_is_not_told_and_loses_nothing(
    new_outbox: NewOutbox, database: Database, tmp_path: Path
) -> None:
    held = threading.Event()

    def slow(entries: Sequence[Entry]) -> list[Outcome]:
        held.wait(20)
        return database.take(entries)

    outbox = Outbox(tmp_path / "outbox", slow)
    asked = outbox.ask("feedback", None, "early")
    assert asked.cancel()  # told 202, so that it must be stored once its answer is there
    held.set()
    time.sleep(0.2)
    assert outbox.waiting == 1
    database.early = False
    eventually(lambda: database.taken == ["early"])
    outbox.close()


def test_a_full_outbox_refuses_and_takes_again(new_outbox: NewOutbox, database: Database) -> None:
    outbox = new_outbox(limit_bytes=10_000)
    database.away = True
    with pytest.raises(Unavailable, match="away for so long"):
        for _ in range(100):
            outbox.put("answer", None, "x" * 500)
    assert 10 <= outbox.waiting < 20
    with pytest.raises(Unavailable, match="1,000,000 bytes"):
        outbox.put("answer", None, "x" * 1_000_001)
    database.away = False
    eventually(lambda: outbox.waiting == 0)
    outbox.put("answer", None, "again")


def test_files_are_many_small_ones_and_go_as_they_are_done(
    new_outbox: NewOutbox, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_files, "SEGMENT_BYTES", 1_000)
    database.away = True
    outbox = new_outbox()
    for n in range(100):
        outbox.put("answer", None, n)
    assert len(files(tmp_path)) >= 5
    database.away = False
    eventually(lambda: outbox.waiting == 0)
    assert database.taken == list(range(100)) and len(files(tmp_path)) == 1


def test_a_full_disk_is_told_and_leaves_no_half_line(
    small_disk: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outboxes, "ENTRY_BYTES", 10**9)
    database.away = True
    outbox = Outbox(small_disk / "outbox", database.take, limit_bytes=10**9)
    with pytest.raises(Unavailable, match="No space left on device"):
        for _ in range(10):
            outbox.ask("feedback", None, "x" * 1_000_000)
    kept = outbox.waiting
    assert kept >= 1
    outbox.close()
    database.away = False
    again = Outbox(small_disk / "outbox", database.take)
    eventually(lambda: len(database.taken) == kept)
    again.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize(
    ("tail", "laid_aside"),
    [
        (b'{"kind": "answer", "us', 0),  # cut off: nobody was told of it
        (b"\0" * 100 + b"\n", 1),
        (b'{"kind": "answer"}\n', 1),
        (b"[]\n\xff\xfe\n", 2),
    ],
)
def test_what_another_left_is_taken_over_also_damaged(
    new_outbox: NewOutbox, database: Database, tmp_path: Path, tail: bytes, laid_aside: int
) -> None:
    database.away = True
    first = new_outbox()
    for n in range(3):
        first.put("answer", None, n)
    [file] = files(tmp_path)
    assert first.waiting == 3
    first.close(limit_s=0.1)
    with file.open("ab") as stream:
        stream.write(tail)
    database.away = False
    second = new_outbox()
    eventually(lambda: len(database.taken) == 3)
    second.settled().result(10)
    assert database.taken == [0, 1, 2] and len(dead(tmp_path)) == laid_aside
    eventually(lambda: file not in files(tmp_path))


def test_what_another_still_holds_is_not_touched(
    new_outbox: NewOutbox, database: Database, tmp_path: Path
) -> None:
    database.away = True
    first, second = new_outbox(), new_outbox()
    first.put("answer", None, "first")
    second.put("answer", None, "second")
    database.away = False
    eventually(lambda: len(database.taken) == 2)
    time.sleep(0.1)
    assert sorted(database.taken) == ["first", "second"] and len(files(tmp_path)) == 2


PUTTING = r"""
import os, sys
from pathlib import Path
from model_pipeline.errors import StoreUnavailable
from rag_service.outbox import Outbox
def take(entries): raise StoreUnavailable("away")
outbox = Outbox(Path(sys.argv[1]), take)
n = 0
while True:
    outbox.put("answer", None, n) if n % 2 else outbox.ask("feedback", None, n)
    os.write(2, b"%d\n" % n)
    n += 1
"""


def test_killed_at_any_moment_it_has_what_it_told(
    new_outbox: NewOutbox, database: Database, tmp_path: Path
) -> None:
    told = 0
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", PUTTING, str(tmp_path / "outbox")],
            cwd=REPO, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert process.stderr is not None
        printed = process.stderr.readline()
        time.sleep(0.1)
        os.kill(process.pid, signal.SIGKILL)
        printed += process.stderr.read()
        told += len(printed.splitlines())
        process.wait()
        process.stderr.close()
    # At most the one that was under way in each is more than was told.
    outbox = new_outbox()
    eventually(lambda: len(database.taken) >= told and outbox.waiting == 0)
    assert told > 20 and told <= len(database.taken) <= told + 4


def test_what_nobody_foresaw_ends_nothing(tmp_path: Path) -> None:
    failures = [RuntimeError("A bug."), KeyError("another")]
    taken: list[Any] = []

    def take(entries: Sequence[Entry]) -> list[Outcome]:
        if failures:
            raise failures.pop()
        taken.extend(entries)
        return [Stored({})] * len(entries)

    outbox = Outbox(tmp_path / "outbox", take)
    asked: Future[Outcome] = outbox.ask("feedback", None, 1)
    assert isinstance(asked.result(10), Delayed)
    eventually(lambda: len(taken) == 1)
    outbox.close()
