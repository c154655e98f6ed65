"""Rows of numbers kept on disk by the content they were made of, in SQLite.

It is a cache: a damaged file is thrown away, and one that cannot be used is done without.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

MAX_ROWS = 100_000  # some 30 MB
AT_ONCE = 500  # keys of one query
WAIT_S = 5.0  # for another process that writes

SCHEMA = """
pragma journal_mode = wal;
pragma synchronous = normal;
create table if not exists rows (number integer primary key, key blob not null unique, row blob);
"""


def key(*texts: str) -> bytes:
    """Of texts in their order; no two lists of texts share one."""
    digest = hashlib.blake2b(digest_size=20)
    for text in texts:
        encoded = text.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.digest()


class RowCache:
    """Rows of `width` numbers (float64, or what `dtype` says) by key, of which the newest
    `max_rows` are kept; without a `path`, none. Several processes may use one file at a time."""

    def __init__(
        self, path: Path | None, *, width: int, max_rows: int = MAX_ROWS, dtype: str = "<f8"
    ) -> None:
        self._path = path
        self._dtype = np.dtype(dtype)
        self._bytes = width * self._dtype.itemsize
        self._max_rows = max_rows
        self._database: sqlite3.Connection | None = None
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=WAIT_S)
            self._database.executescript(SCHEMA)
        except (OSError, sqlite3.Error) as error:
            self._give_up(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._database is not None:
            self._database.close()

    def get(self, keys: Sequence[bytes]) -> dict[bytes, NDArray[Any]]:
        """The rows there are."""
        found: dict[bytes, NDArray[Any]] = {}
        for start in range(0, len(keys), AT_ONCE):
            if self._database is None:
                break
            some = keys[start : start + AT_ONCE]
            marks = ",".join("?" * len(some))
            query = f"select key, row from rows where key in ({marks})"  # noqa: S608 marks alone
            try:
                rows = self._database.execute(query, some).fetchall()
            except sqlite3.Error as error:
                self._give_up(error)
                break
            whole = [(one, row) for one, row in rows if len(row) == self._bytes]
            found |= {one: np.frombuffer(row, dtype=self._dtype) for one, row in whole}
        return found

    def put(self, keys: Sequence[bytes], rows: NDArray[Any]) -> None:
        """Keeps `rows` [n, width], and lets go of the oldest beyond the limit."""
        if self._database is None:
            return
        items = [
            (one, row.astype(self._dtype).tobytes()) for one, row in zip(keys, rows, strict=True)
        ]
        insert = "insert or replace into rows (key, row) values (?, ?)"
        oldest = "delete from rows where number <= (select max(number) from rows) - ?"
        try:
            with self._database:
                self._database.executemany(insert, items)
                self._database.execute(oldest, (self._max_rows,))
        except sqlite3.Error as error:
            self._give_up(error)

    def _give_up(self, error: OSError | sqlite3.Error) -> None:
        logger.warning("The cache %s is not used: %s.", self._path, error)
        if self._database is not None:
            self._database.close()
            self._database = None
        if getattr(error, "sqlite_errorcode", None) in (
            sqlite3.SQLITE_CORRUPT,
            sqlite3.SQLITE_NOTADB,
        ):
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self._path}{suffix}").unlink(missing_ok=True)
