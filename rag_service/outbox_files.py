"""The files of an outbox: lines of JSON, locked by the process that appends to them, its owner's
alone."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from model_pipeline.store.intake import Entry, Outcome

SEGMENT_BYTES = 1_000_000
SUFFIX = ".outbox"
DEAD, DEAD_BEFORE = "dead.jsonl", "dead.before.jsonl"
DEAD_BYTES = 10_000_000


class Segment:
    """One file. `size` counts its bytes, `waiting` the lines that are still to be stored."""

    def __init__(self, path: Path, file: int, size: int = 0) -> None:
        self.path = path
        self.size = size
        self.waiting = 0
        self._file = file
        self._synced = 0
        self._syncing = threading.Lock()

    @property
    def is_full(self) -> bool:
        return self.size >= SEGMENT_BYTES

    def append(self, content: bytes) -> Line:
        """All of it or nothing. Raises OSError."""
        try:
            if os.write(self._file, content) != len(content):
                raise OSError(28, "No space left on device")
        except OSError:
            os.ftruncate(self._file, self.size)
            raise
        line = Line(self, self.size, len(content))
        self.size += len(content)
        self.waiting += 1
        return line

    def sync(self, end: int) -> None:
        """Have what stands before `end` be on the disk; who comes meanwhile shares the next one."""
        with self._syncing:
            if self._synced < end:
                reached = self.size
                os.fsync(self._file)
                self._synced = reached

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self._file, length, offset)

    def empty(self) -> None:
        if self.size:
            os.ftruncate(self._file, 0)
            self.size = self._synced = 0

    def remove(self) -> None:
        with suppress(FileNotFoundError):
            self.path.unlink()
        os.close(self._file)

    def close(self) -> None:
        """Keeps a file of which something waits."""
        if self.waiting:
            os.close(self._file)
        else:
            self.remove()


@dataclass(slots=True, eq=False)
class Line:
    """An entry's place in its file: what it says stays there, also where millions wait. `asked`
    is whoever waits for what becomes of it, `settling` who waits until it was tried."""

    segment: Segment
    offset: int
    length: int
    not_before: float = 0.0
    asked: Future[Outcome] | None = None
    settling: list[Future[None]] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.offset + self.length

    def content(self) -> bytes:
        return self.segment.read(self.offset, self.length)

    def entry(self) -> Entry:
        found: Entry = json.loads(self.content())
        return found

    def tell(self, outcome: Outcome) -> bool:
        """Whether anybody was still waiting for it."""
        asked, self.asked = self.asked, None
        if asked is None or not asked.set_running_or_notify_cancel():
            return False
        asked.set_result(outcome)
        return True

    def settle(self) -> None:
        for one in self.settling:
            if one.set_running_or_notify_cancel():
                one.set_result(None)
        self.settling.clear()


def new_segment(folder: Path) -> Segment:
    """Locked before it has a name by which others would look for it."""
    path = folder / f"{time.time_ns():020d}-{uuid4().hex[:8]}{SUFFIX}"
    made = path.with_suffix(".new")
    file = os.open(made, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(file, fcntl.LOCK_EX)
    made.rename(path)
    _sync_folder(folder)
    return Segment(path, file)


def orphans(folder: Path) -> Iterator[tuple[Segment, list[Line], list[bytes]]]:
    """The files whose process has ended, now locked by this one, newest first, with their entries
    and with the lines that are none."""
    for path in sorted(folder.glob(f"*{SUFFIX}"), reverse=True):
        with suppress(FileNotFoundError):
            file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
            if not _locked(file, path):
                os.close(file)
                continue
            yield _read(path, file)


def _locked(file: int, path: Path) -> bool:
    """Whether the file is ours: not another's, nor one that another has just removed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(file).st_ino == path.stat().st_ino
    except (BlockingIOError, FileNotFoundError):
        return False


def _read(path: Path, file: int) -> tuple[Segment, list[Line], list[bytes]]:
    """A last line without its end was never told to anybody: it is no entry, nor damage."""
    segment = Segment(path, file, os.fstat(file).st_size)
    lines, torn = [], []
    with os.fdopen(os.dup(file), "rb") as stream:
        offset = 0
        stream.seek(0)
        for content in stream:
            if not content.endswith(b"\n"):
                break
            if _is_entry(content):
                lines.append(Line(segment, offset, len(content)))
            else:
                torn.append(content)
            offset += len(content)
    segment.waiting = len(lines)
    return segment, lines, torn


def _is_entry(content: bytes) -> bool:
    try:
        found = json.loads(content)
        datetime.fromisoformat(found["at"])
        return set(found) == {"kind", "user_id", "at", "data"}
    except (ValueError, KeyError, TypeError):
        return False


def bury(folder: Path, content: bytes, reason: str) -> None:
    """Keep what will never be stored where a person finds it, with the reason: the last of them
    within DEAD_BYTES, and as much from before."""
    note = {"at": datetime.now(UTC).isoformat(), "reason": reason}
    said = json.dumps(note | {"entry": content.decode("utf-8", "replace").rstrip("\n")})
    path = folder / DEAD
    with _folder_locked(folder):
        if path.exists() and path.stat().st_size > DEAD_BYTES:
            path.replace(folder / DEAD_BEFORE)
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "wb") as stream:
            stream.write(said.encode("ascii") + b"\n")
            stream.flush()
            os.fsync(file)


@dataclass(frozen=True, slots=True)
class Owed:
    """What a folder holds: entries that wait, since when the first of them; and those that were
    laid aside, with the reason of the last."""

    waiting: int = 0
    since: datetime | None = None
    dead: int = 0
    reason: str = ""


def owed(folder: Path) -> Owed:
    """Only looks: whoever has a file keeps it. Raises OSError where that is not allowed."""
    entries = [
        datetime.fromisoformat(json.loads(line)["at"])
        for path in folder.glob(f"*{SUFFIX}")
        for line in _lines(path)
        if _is_entry(line)
    ]
    dead = [line for name in (DEAD_BEFORE, DEAD) for line in _lines(folder / name)]
    reason = str(json.loads(dead[-1])["reason"]) if dead else ""
    return Owed(len(entries), min(entries, default=None), len(dead), reason)


def _lines(path: Path) -> list[bytes]:
    """The whole ones; none of a file that is not there, or no longer."""
    with suppress(FileNotFoundError):
        return [line for line in path.read_bytes().splitlines(keepends=True) if line[-1:] == b"\n"]
    return []


@contextmanager
def _folder_locked(folder: Path) -> Iterator[None]:
    held = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def _sync_folder(folder: Path) -> None:
    held = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(held)
    finally:
        os.close(held)
