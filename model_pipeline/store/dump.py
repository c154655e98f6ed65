"""The whole store in one file, and back: collections, documents, chunks with their vectors, answers
and feedback, test sets and scorecards, verdicts with their reviews and reports, versions of models
with their ledger.

The file is a gzip'd stream: a line with its format, a line of JSON that tells what is in it, each
table as PostgreSQL's own binary COPY in blocks with their length before them (0 ends a table), and
the SHA-256 of all that. BM25's statistics are counted anew by the triggers as the chunks come in.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from model_pipeline.errors import ConfigurationError, Conflict, InvalidInput
from model_pipeline.store import migrations
from model_pipeline.store.connect import connection_arguments, translate_errors
from model_pipeline.store.embedders import note, stored_embedders
from model_pipeline.store.rows import CHUNK_COLUMNS

FORMAT = b"promptly-dump 6\n"
COLUMNS = {
    "collections": "collection_id, name, created_at, owner_id, visibility",
    "members": "collection_id, user_id, role, created_at",
    "sources": "source_id, collection_id, kind, settings, refresh_every, trusted",
    "documents": "document_id, collection_id, source, title, content, metadata, content_hash, "
    "origin, chunk_count, created_at, updated_at",
    "chunks": ", ".join(("chunk_id", *CHUNK_COLUMNS)),
    "conversations": "conversation_id, user_id, title, created_at, updated_at, deleted_at",
    "answers": "answer_id, user_id, conversation_id, question, answer, declined, citations, "
    "release_id, collection, timings_ms, feedback_times, created_at, bias",
    "feedback": "feedback_id, answer_id, user_id, rating, comment, corrected_answer, harm, "
    "created_at, updated_at",
    "test_sets": "name, version, hash, manifest, examples, created_at",
    "scorecards": "scorecard_id, release_id, test_set_hash, hash, scorecard, created_at",
    "verdicts": "answer_id, signature, user_id, level, score, probabilities, evidence, reason, "
    "sure, dimension, created_at",
    "reviews": "review_id, answer_id, signature, user_id, level, comment, created_at",
    "bias_reports": "report_id, signature, since, until, hash, report, created_at",
    "model_versions": "repo, tag, commit, kind, base, made_from, dataset_hash, created_at",
    "model_ledger": "repo, entry, commit, action, reason, made_by, created_at",
}
# Keys stay behind, with their memberships: one that was revoked since would open again.
KEPT = {"members": "where user_id not in (select key_id from service_keys)"}
# Where one of these has rows, it is no empty database.
FILLED = ("documents", "answers", "test_sets", "model_versions")
LONGEST_BLOCK = 2**30  # PostgreSQL makes no longer one


class _Damaged(Exception):
    pass


class _Hashed:
    """A stream that knows the SHA-256 of what went through it."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._digest.update(data)
        self._stream.write(data)

    def read(self, size: int) -> bytes:
        return self._took(self._stream.read(size), size)

    def line(self) -> bytes:
        return self._took(self._stream.readline(LONGEST_BLOCK), 1)

    def write_digest(self) -> None:
        self._stream.write(self._digest.digest())

    def require_digest(self) -> None:
        if self._stream.read(33) != self._digest.digest():
            raise _Damaged

    def _took(self, data: bytes, least: int) -> bytes:
        if len(data) < least:
            raise _Damaged
        self._digest.update(data)
        return data


def dump(conninfo: str, path: Path) -> dict[str, int]:
    """Write all of the store, as of one moment, to `path`; returns how many rows of each table.

    What is written becomes `path` only when it is whole.
    """
    part = Path(f"{path}.part")
    try:
        with gzip.open(part, "wb", compresslevel=1) as file:
            rows = _dump(conninfo, _Hashed(file))
        part.replace(path)
    except OSError as error:
        raise InvalidInput(
            f"{path} cannot be written ({error.strerror}): name a file elsewhere."
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return rows


def restore(conninfo: str, path: Path) -> dict[str, int]:
    """Put what `dump` wrote into an empty, migrated database, all of it or nothing.

    Raises InvalidInput for a file that is no whole dump, Conflict for a database that holds
    documents, ConfigurationError for one with an older schema.
    """
    try:
        with gzip.open(path) as file:  # to its end first: nothing of a damaged file is let in
            stream = _Hashed(file)
            head = _head(stream)
            for _ in COLUMNS:
                for _ in _blocks(stream):
                    pass
            stream.require_digest()
        _require_migrated(conninfo, set(head["migrations"]))
        with gzip.open(path) as file:
            stream = _Hashed(file)
            _head(stream)
            return _restore(conninfo, stream, head)
    except FileNotFoundError as error:
        raise InvalidInput(
            f"{path} does not exist: name a file from `promptly db dump`."
        ) from error
    except (_Damaged, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InvalidInput(
            f"{path} is damaged or no dump: nothing was restored; use another from "
            "`promptly db dump`."
        ) from error
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from error


def _dump(conninfo: str, stream: _Hashed) -> dict[str, int]:
    applied = [one.version for one in migrations.status(conninfo) if one.applied]
    with _transaction(conninfo, "repeatable read read only") as connection:
        # Before the snapshot: what is read after it is of the same side of a switch.
        connection.execute("lock table embedder, chunks in access share mode")
        sources = {table: f"{table} {KEPT.get(table, '')}" for table in COLUMNS}
        rows = {table: _count(connection, source) for table, source in sources.items()}
        embedder = connection.execute(
            "select name, dimensions, spec from embedder where active"
        ).fetchone()
        head = {"migrations": applied, "embedder": embedder, "rows": rows}
        stream.write(FORMAT)
        stream.write(json.dumps(head).encode() + b"\n")
        for table, columns in COLUMNS.items():
            statement = f"copy (select {columns} from {sources[table]}) to stdout (format binary)"  # noqa: S608
            with connection.cursor() as cursor, cursor.copy(statement) as copy:
                for block in copy:
                    stream.write(len(block).to_bytes(4))
                    stream.write(block)
            stream.write(bytes(4))
        stream.write_digest()
    return rows


def _restore(conninfo: str, stream: _Hashed, head: dict[str, Any]) -> dict[str, int]:
    with _transaction(conninfo) as connection:
        # Whoever writes chunks reads this table's row first: all of them wait, or are waited for.
        connection.execute("lock table embedder, documents, collections in exclusive mode")
        if any(_count(connection, table) for table in FILLED):
            raise Conflict(
                "The database holds documents, answers, test sets or versions already, and nothing "
                "was restored: restore into an empty one."
            )
        if len(stored_embedders(connection)) > 1:
            raise Conflict(
                "The database is being switched to another embedder, and nothing was restored: "
                "first `promptly reembed cancel` or `promptly reembed confirm`."
            )
        connection.execute("delete from collections")
        connection.execute("delete from embedder")
        if head["embedder"]:
            note(connection, *head["embedder"])
        for table, columns in COLUMNS.items():
            statement = f"copy {table} ({columns}) from stdin (format binary)"
            with connection.cursor() as cursor, cursor.copy(statement) as copy:
                for block in _blocks(stream):
                    copy.write(block)
            if _count(connection, table) != head["rows"][table]:
                raise _Damaged
        stream.require_digest()
    rows: dict[str, int] = head["rows"]
    return rows


def _head(stream: _Hashed) -> dict[str, Any]:
    if stream.line() != FORMAT:
        raise _Damaged
    try:
        head: dict[str, Any] = json.loads(stream.line())
    except ValueError as error:
        raise _Damaged from error
    return head


def _blocks(stream: _Hashed) -> Iterator[bytes]:
    while size := int.from_bytes(stream.read(4)):
        if size > LONGEST_BLOCK:
            raise _Damaged
        yield stream.read(size)


def _require_migrated(conninfo: str, needed: set[str]) -> None:
    lacking = needed - {one.version for one in migrations.status(conninfo) if one.applied}
    if lacking:
        raise ConfigurationError(
            f"The dump is of a newer schema (migration {max(lacking)}) than the database's: run "
            "`promptly db migrate`, with the version of Promptly that wrote it, first."
        )


@contextmanager
def _transaction(
    conninfo: str, isolation: str = "read committed"
) -> Iterator[psycopg.Connection[Any]]:
    arguments = connection_arguments(conninfo)
    with (
        translate_errors(),
        psycopg.connect(conninfo, **arguments) as connection,
        connection.transaction(),
    ):
        connection.execute(f"set transaction isolation level {isolation}")
        connection.execute("set local statement_timeout = 0")
        yield connection


def _count(connection: psycopg.Connection[Any], table: str) -> int:
    row = connection.execute(f"select count(*) from {table}").fetchone()  # noqa: S608 - our names
    assert row is not None
    return int(row[0])
