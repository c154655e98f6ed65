"""What was made at some cost, kept on disk by the content it was made of, in SQLite.

It is a cache: a damaged file is thrown away, and one that cannot be used is done without.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

logger = logging.getLogger(__name__)

AT_ONCE = 500  # keys of one query
WAIT_S = 5.0  # for another process that writes

SCHEMA = """
pragma journal_mode = wal;
pragma synchronous = normal;
create table if not exists rows (number integer primary key, key blob not null unique, row blob);
"""


class ByteCache:
    """Bytes by key, of which the newest `max_rows` are kept; without a `path`, none. Several
    processes may use one file at a time."""

    def __init__(self, path: Path | None, *, max_rows: int) -> None:
        self._path = path
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

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """What there is."""
        found: dict[bytes, bytes] = {}
        for start in range(0, len(keys), AT_ONCE):
            if self._database is None:
                break
            some = keys[start : start + AT_ONCE]
            marks = ",".join("?" * len(some))
            query = f"select key, row from rows where key in ({marks})"  # noqa: S608 marks alone
            try:
                found |= dict(self._database.execute(query, some).fetchall())
            except sqlite3.Error as error:
                self._give_up(error)
        return found

    def put(self, items: Mapping[bytes, bytes]) -> None:
        """Keeps these, and lets go of the oldest beyond the limit."""
        if self._database is None:
            return
        insert = "insert or replace into rows (key, row) values (?, ?)"
        oldest = "delete from rows where number <= (select max(number) from rows) - ?"
        try:
            with self._database:
                self._database.executemany(insert, items.items())
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
