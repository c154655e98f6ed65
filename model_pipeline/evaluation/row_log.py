"""A file of JSON rows that is written as they come, and goes on where it stopped.

Lines are synced to the disk in batches; one that was cut short is made again.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from model_pipeline.errors import Conflict, InvalidInput

SYNC_ROWS, SYNC_S = 20, 1.0


class RowLog:
    """Append-only; `before` holds what was there when it was opened."""

    def __init__(self, file: BinaryIO, before: list[Any]) -> None:
        self.before = before
        self._file = file
        self._unsynced = 0
        self._synced_at = time.monotonic()

    def add(self, row: Mapping[str, Any]) -> None:
        self._file.write(line(row))
        self._unsynced += 1
        if self._unsynced >= SYNC_ROWS or time.monotonic() - self._synced_at >= SYNC_S:
            self.sync()

    def sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._unsynced, self._synced_at = 0, time.monotonic()


@contextmanager
def row_log(
    path: Path, require: Callable[[Sequence[Any]], None] = lambda rows: None
) -> Iterator[RowLog]:
    """`require` refuses what is another's, before anything is written. Raises InvalidInput for a
    file that is none or cannot be written, Conflict while another run writes to it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            _lock(file, path)
            file.seek(0)
            whole, rows = _whole_lines(file, path)
            require(rows)
            file.truncate(whole)
            file.seek(0, os.SEEK_END)
            log = RowLog(file, rows)
            try:
                yield log
            finally:
                log.sync()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}.") from error


def line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row).encode() + b"\n"


def _lock(file: BinaryIO, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Conflict(
            f"Another run writes to {path}: let it end, or name another --out."
        ) from error


def _whole_lines(file: BinaryIO, path: Path) -> tuple[int, list[Any]]:
    """How many bytes of the file are whole rows, and these."""
    whole, rows = 0, []
    for one in file:
        try:
            rows.append(json.loads(one))
        except ValueError:
            if one.endswith(b"\n"):
                raise InvalidInput(
                    f"{path} is no file of a run: remove it, or name another."
                ) from None
            break
        if not one.endswith(b"\n"):
            rows.pop()
            break
        whole += len(one)
    return whole, rows
