"""Training data in the database, line by line, through either door: `load_data` reads it back where
there is only HTTPS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg_pool import ConnectionPool

from model_pipeline.store import supabase_api
from model_pipeline.store.connect import translate_errors

if TYPE_CHECKING:
    from supabase import Client

COLUMNS = ("line_key", "dataset_hash", "file", "line")
BATCH = 200  # lines of one request, each some kilobytes
Line = tuple[str, str, str, str]


def put(
    pool: ConnectionPool[psycopg.Connection[Any]], dataset_hash: str, files: Sequence[Path]
) -> None:
    """Whole or not at all; what is there stays."""
    with translate_errors(), pool.connection() as connection, connection.transaction():
        connection.execute(
            "create temporary table arriving_lines (line_key text, dataset_hash text, file text, "
            "line text) on commit drop"
        )
        with connection.cursor().copy("copy arriving_lines from stdin") as copy:
            for line in _lines(dataset_hash, files):
                copy.write_row(line)
        connection.execute(
            "insert into training_lines (line_key, dataset_hash, file, line) "
            "select * from arriving_lines on conflict do nothing"
        )


def put_over_https(client: Client, dataset_hash: str, files: Sequence[Path]) -> None:
    """Line after line: it is whole once the last of `files` is there. The same again goes on."""
    lines = _lines(dataset_hash, files)
    while batch := [dict(zip(COLUMNS, one, strict=True)) for one in islice(lines, BATCH)]:
        with supabase_api.translate_errors():
            client.table("training_lines").upsert(
                batch,
                on_conflict="line_key",
                ignore_duplicates=True,
            ).execute()


def _lines(dataset_hash: str, files: Sequence[Path]) -> Iterator[Line]:
    for path in files:
        with path.open(encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file):
                yield f"{dataset_hash}/{path.name}/{number:09}", dataset_hash, path.name, line
