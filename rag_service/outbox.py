"""What the database is still owed, in files: a database that is away costs nothing that was told.

Each process appends to a file of its own, which it holds locked; the kernel drops the lock with the
process, and whoever sees a file without one takes it over. A line is an entry: when, by whom, and
what. What was stored is taken away when nothing else of its file waits; a kill in between has it
stored again, which changes nothing.

Only who asked is kept with an entry, never the token: it was verified when the entry was taken.
"""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from model_pipeline.errors import PromptlyError, Unavailable
from model_pipeline.store.intake import Absent, Delayed, Entry, Outcome, Refused, Stored
from rag_service.outbox_files import Line, bury, new_segment, orphans

log = structlog.get_logger()

LIMIT_BYTES = 100_000_000
ENTRY_BYTES = 1_000_000
BATCH = 100
RETRY_S = 0.5
ADOPT_EVERY_S = 5.0
# Feedback may come to one process before another has stored the answer: so long it waits for that,
# where it was taken while the database was away or soon after; else no longer than who sent it.
ABSENT_LIMIT = timedelta(minutes=10)
ABSENT_S = 1.5

Take = Callable[[Sequence[Entry]], list[Outcome]]


class Outbox:
    """Hands what it is given to `take`, in a thread of its own, in order, until that has it.

    `take` raises a PromptlyError where nothing can be stored now. The folder is made; several
    processes may share it. Close it: what then waits is taken up by whoever opens the folder next.
    """

    def __init__(self, folder: Path, take: Take, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._folder = folder
        self._take = take
        self._limit = limit_bytes
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._lock = threading.Lock()
        self._lines: list[Line] = []
        self._segments = [new_segment(folder)]
        self._last = datetime.min.replace(tzinfo=UTC)
        self._away_until = 0.0
        self._was_away = -math.inf
        self._away_reason = ""
        self._news = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    def put(self, kind: str, user_id: str | None, data: Any) -> None:
        """Keep it against the end of this process; against the machine's as well, as soon as the
        database is away. Raises Unavailable where it cannot be kept."""
        line = self._write(kind, user_id, data)
        self._enqueue(line)

    def ask(self, kind: str, user_id: str | None, data: Any) -> Future[Outcome]:
        """Keep it on the disk; then the future tells what became of it, Delayed where that takes
        longer. Who does not wait for it cancels it. What is about an answer that is not there is
        tried for a moment, and Absent then; Delayed while the answer may yet come from a process
        that waited for the database as this one did. Raises Unavailable where it cannot be kept."""
        line = self._write(kind, user_id, data)
        try:
            line.segment.sync(line.end)
        except OSError as error:
            with self._lock:
                self._release([line])
            raise _cannot(error) from error
        asked = line.asked = Future()
        self._enqueue(line)
        return asked

    def settled(self) -> Future[None]:
        """Done as soon as what was put before was tried, as it is at once with a database there."""
        future: Future[None] = Future()
        with self._lock:
            if self._lines and time.monotonic() >= self._away_until:
                self._lines[-1].settling.append(future)
            else:
                future.set_result(None)
        return future

    @property
    def waiting(self) -> int:
        """Entries that are not stored yet."""
        with self._lock:
            return len(self._lines)

    def close(self, *, limit_s: float = 3.0) -> None:
        """Store what can be stored within `limit_s`, and leave the rest in its files."""
        deadline = time.monotonic() + limit_s
        while self.waiting and not self._away_reason and time.monotonic() < deadline:
            time.sleep(0.01)
        self._closing = True
        self._news.set()
        self._thread.join(max(0.1, deadline - time.monotonic()))
        with self._lock:
            for segment in self._segments:
                segment.close()
            self._segments = []

    # Writing

    def _write(self, kind: str, user_id: str | None, data: Any) -> Line:
        with self._lock:
            if self._closing:
                raise Unavailable("The service is stopping: try again shortly.")
            # Later than all before: of two things said of one answer the later counts.
            now = max(datetime.now(UTC), self._last + timedelta(microseconds=1))
            entry = {"kind": kind, "user_id": user_id, "at": now.isoformat(), "data": data}
            content = json.dumps(entry).encode("ascii") + b"\n"
            if len(content) > ENTRY_BYTES:
                raise Unavailable(f"This is over {ENTRY_BYTES:,} bytes, which are not kept.")
            if sum(one.size for one in self._segments) + len(content) > self._limit:
                raise Unavailable(
                    "The database has been away for so long that nothing more can be kept for it: "
                    "try again when it is back.",
                    retry_after_s=30,
                )
            try:
                if self._segments[-1].is_full:
                    self._segments.append(new_segment(self._folder))
                line = self._segments[-1].append(content)
            except OSError as error:
                raise _cannot(error) from error
            self._last = now
            return line

    def _enqueue(self, line: Line) -> None:
        with self._lock:
            if time.monotonic() < self._away_until:
                line.tell(Delayed(self._away_reason))
            self._lines.append(line)
        self._news.set()

    # Storing, in a thread

    def _run(self) -> None:
        adopted = -ADOPT_EVERY_S
        while not self._closing:
            self._news.clear()
            try:
                if time.monotonic() - adopted >= ADOPT_EVERY_S:
                    self._adopt()
                    adopted = time.monotonic()
                lines = self._due()
                if lines:
                    self._send(lines)
                    continue
            except Exception as error:
                # What nobody foresaw must not end the storing of everything else.
                log.exception("outbox_failed")
                self._be_away(type(error).__name__)
            self._news.wait(RETRY_S / 2 if self.waiting else ADOPT_EVERY_S)

    def _adopt(self) -> None:
        """Take over the files of processes that have ended."""
        for segment, lines, torn in orphans(self._folder):
            for content in torn:
                bury(self._folder, content, "It cannot be read: it was cut off or damaged.")
            with self._lock:
                # Before one's own: they are older.
                self._segments.insert(0, segment)
                self._lines[:0] = lines
                if not lines:
                    self._release([])
            log.info("outbox_adopted", file=segment.path.name, entries=len(lines))

    def _due(self) -> list[Line]:
        now = time.monotonic()
        with self._lock:
            if now < self._away_until:
                return []
            due = (line for line in self._lines if line.not_before <= now)
            return [line for line, _ in zip(due, range(BATCH), strict=False)]

    def _send(self, lines: Sequence[Line]) -> None:
        entries = [line.entry() for line in lines]
        try:
            outcomes = self._take(entries)
        except PromptlyError as error:
            self._be_away(error.message)
            return
        if not self._segments:  # closed meanwhile
            return
        if self._away_reason:
            log.info("outbox_resumed", entries=self.waiting)
            self._away_reason = ""
        done = [
            line
            for line, entry, outcome in zip(lines, entries, outcomes, strict=True)
            if self._is_done(line, entry, outcome)
        ]
        with self._lock:
            gone = {id(line) for line in done}
            self._lines = [line for line in self._lines if id(line) not in gone]
            self._release(done)
            for line in lines:
                line.settle()

    def _is_done(self, line: Line, entry: Entry, outcome: Outcome) -> bool:
        """Whether nothing is left to do for it."""
        if isinstance(outcome, Absent) and line.asked is not None:
            if _age(entry) < timedelta(seconds=ABSENT_S):
                line.not_before = time.monotonic() + ABSENT_S / 4
                return False
            if time.monotonic() - self._was_away < ABSENT_LIMIT.total_seconds():
                line.tell(Delayed("The answer is not there yet."))
        told = line.tell(outcome)
        match outcome:
            case Stored():
                return True
            case Absent() if told:
                return True
            case Absent() if _age(entry) > ABSENT_LIMIT:
                reason = "There is no such answer of this person, or it was deleted."
            case Refused(reason):
                pass
            case Absent() | Delayed():
                line.not_before = time.monotonic() + RETRY_S
                return False
        log.error("outbox_refused", kind=entry["kind"], at=entry["at"])  # why is in the file
        bury(self._folder, line.content(), reason)
        return True

    def _be_away(self, reason: str) -> None:
        """Nothing can be stored for a moment: what waits for an answer gets it, and what was put
        here is made to outlast the machine."""
        if reason != self._away_reason:  # once, not every half second
            log.warning("outbox_waits", entries=self.waiting, reason=reason)
        with self._lock:
            self._away_reason = reason
            self._was_away = time.monotonic()
            self._away_until = self._was_away + RETRY_S
            for line in self._lines:
                line.tell(Delayed(reason))
                line.settle()
            segments = list(self._segments)
        for segment in segments:
            segment.sync(segment.size)

    def _release(self, lines: Sequence[Line]) -> None:
        """Forget these, and the files of which nothing waits. Under the lock."""
        for line in lines:
            line.segment.waiting -= 1
        current = self._segments[-1] if self._segments else None
        for segment in [one for one in self._segments if one.waiting == 0]:
            if segment is current:
                segment.empty()
            else:
                segment.remove()
                self._segments.remove(segment)


def _age(entry: Entry) -> timedelta:
    return datetime.now(UTC) - datetime.fromisoformat(entry["at"])


def _cannot(error: OSError) -> Unavailable:
    return Unavailable(
        f"It cannot be kept ({os.strerror(error.errno or 0)}): free space on the service's disk.",
        retry_after_s=30,
    )
