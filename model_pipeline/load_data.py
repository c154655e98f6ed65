"""Stored rows as Parquet files and as a Hugging Face dataset, through either door.

A load holds the rows as they were when it began: those changed while it runs have a newer
`updated_at`, and are the next load's. It goes through the rows by primary key, a shard at a time; a
shard gets its name when it is whole. So the same load, started again, goes on after the last shard,
through whichever door.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from model_pipeline.errors import Conflict, InvalidInput, Unavailable
from model_pipeline.store.doors import Door, Kind, Page, Selection

if TYPE_CHECKING:
    from datasets import Dataset

Result = TypeVar("Result")

SHARD_ROWS = 10_000
ATTEMPTS = 7  # a minute, with twice as long a wait each time
FIRST_WAIT_S = 1.0
NOTE = "load.json"

TIME = pa.timestamp("us", tz="UTC")
VECTOR = pa.list_(pa.float32())
# Columns by kind, the key first. `metadata` and `citations` are JSON.
COLUMNS: dict[Kind | Literal["training"], dict[str, pa.DataType]] = {
    "chunks": {
        "chunk_id": pa.string(),
        "document_id": pa.string(),
        "collection": pa.string(),
        "source": pa.string(),
        "title": pa.string(),
        "ordinal": pa.int32(),
        "start_at": pa.int32(),
        "heading_path": pa.list_(pa.string()),
        "context": pa.string(),
        "content": pa.string(),
        "metadata": pa.string(),
        "updated_at": TIME,
        "embedding": VECTOR,
    },
    "pairs": {
        "answer_id": pa.string(),
        "user_id": pa.string(),
        "collection": pa.string(),
        "question": pa.string(),
        "answer": pa.string(),
        "declined": pa.bool_(),
        "citations": pa.string(),
        "release_id": pa.string(),
        "rating": pa.string(),
        "reference": pa.string(),
        "created_at": TIME,
        "updated_at": TIME,
    },
    "feedback": {
        "feedback_id": pa.string(),
        "answer_id": pa.string(),
        "user_id": pa.string(),
        "collection": pa.string(),
        "rating": pa.string(),
        "comment": pa.string(),
        "corrected_answer": pa.string(),
        "harm": pa.string(),
        "created_at": TIME,
        "updated_at": TIME,
    },
    # The files of a training data set, line by line.
    "training": {
        "line_key": pa.string(),
        "dataset_hash": pa.string(),
        "file": pa.string(),
        "line": pa.string(),
        "updated_at": TIME,
    },
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to load. `since` <= updated_at < `until`, both with a time zone. Training data is loaded
    by its hash, and nothing else is."""

    kind: Kind | Literal["training"]
    collection: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    vectors: bool = False
    dataset_hash: str | None = None

    def __post_init__(self) -> None:
        if (self.kind == "training") != (self.dataset_hash is not None):
            raise InvalidInput("Training data is loaded by its hash, and nothing else is.")
        if self.vectors and self.kind != "chunks":
            raise InvalidInput(f"Only chunks have vectors: load {self.kind} without them.")

    def schema(self) -> pa.Schema:
        columns = COLUMNS[self.kind].items()
        return pa.schema([one for one in columns if self.vectors or one[0] != "embedding"])

    def selection(self) -> Selection:
        names = tuple(self.schema().names)
        since, until = (_iso(one) for one in (self.since, self.until))
        return Selection(
            f"loadable_{self.kind}", names[0], names, self.collection, since, until,
            dataset_hash=self.dataset_hash,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Loaded:
    """`rows` in `shards`, of which `rows_before` lay there already. The rows are as they were at
    `newest` (None: there were none), the last change among them."""

    shards: tuple[Path, ...]
    rows: int
    rows_before: int
    newest: str | None


Progress = Callable[[int, int], None]


def export(
    door: Door,
    wanted: Wanted,
    folder: Path,
    *,
    progress: Progress = lambda rows, of: None,
    shard_rows: int = SHARD_ROWS,
) -> Loaded:
    """Write what is wanted to `folder` as Parquet shards, or go on with that; what is complete
    already is read no more. Holds one shard in memory.

    `progress` is told the rows so far, and how many there were at the start. Raises Conflict where
    the folder holds another load, Unavailable where the door stays shut.
    """
    try:
        return _export(door, wanted, folder, progress, shard_rows)
    except OSError as error:
        raise InvalidInput(
            f"{folder} cannot be written ({error.strerror}): name a folder elsewhere, or free "
            "space; the same command goes on where it stopped."
        ) from error


def load(door: Door, wanted: Wanted, folder: Path, **options: Any) -> Dataset:
    """The same as a dataset that is read from disk as it is used; `options` as in `export`."""
    try:
        from datasets import Dataset
    except ImportError as error:
        raise InvalidInput(
            "Hugging Face datasets is not installed: `pip install 'promptly-rag[data]'`."
        ) from error
    shards = export(door, wanted, folder, **options).shards
    return Dataset.from_parquet([str(path) for path in shards], cache_dir=str(folder / "cache"))


def _export(
    door: Door, wanted: Wanted, folder: Path, progress: Progress, shard_rows: int
) -> Loaded:
    note = _Note.of(folder, wanted) or _Note.begin(door, folder, wanted)
    shards, rows, after = _whole_shards(folder, wanted)
    before = rows
    progress(rows, note.rows)
    at_end = note.newest is None or note.complete == rows
    while not at_end:
        table = _shard(door, wanted, str(note.newest), after, shard_rows)
        at_end = table.num_rows < shard_rows
        if table.num_rows:
            shards.append(_write(table, folder, wanted, len(shards)))
            rows += table.num_rows
            after = table.column(0)[-1].as_py()
            progress(rows, note.rows)
    if not shards:
        shards.append(_write(wanted.schema().empty_table(), folder, wanted, 0))
    note.finish(rows)
    return Loaded(tuple(shards), rows, before, note.newest)


@dataclass(frozen=True, slots=True)
class _Note:
    """What a folder's load is of. `rows`: how many there were at its start; `complete`: how many it
    has, once it has all."""

    path: Path
    wanted: dict[str, Any]
    newest: str | None
    rows: int
    complete: int | None = None

    @classmethod
    def of(cls, folder: Path, wanted: Wanted) -> _Note | None:
        try:
            found = json.loads((folder / NOTE).read_bytes())
            note = cls(folder / NOTE, **found)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise Conflict(f"{folder / NOTE} is no note of a load: name another folder.") from error
        if note.wanted != _plain(wanted):
            given = json.dumps({name: one for name, one in note.wanted.items() if one})
            raise Conflict(f"{folder} holds another load ({given}): name another folder.")
        return note

    @classmethod
    def begin(cls, door: Door, folder: Path, wanted: Wanted) -> _Note:
        if any(_shards(folder, wanted)):
            raise Conflict(f"{folder} holds {wanted.kind} of an unknown load: name another folder.")
        rows, newest = door.extent(wanted.selection())
        bound = _iso(datetime.fromisoformat(newest)) if newest else None
        folder.mkdir(parents=True, exist_ok=True)
        note = cls(folder / NOTE, _plain(wanted), bound, rows)
        note._write()
        return note

    def finish(self, rows: int) -> None:
        if self.complete != rows:
            replace(self, complete=rows)._write()

    def _write(self) -> None:
        names = ("wanted", "newest", "rows", "complete")
        content = json.dumps({name: getattr(self, name) for name in names}, indent=1)
        part = self.path.with_suffix(".part")
        with part.open("w") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.path)


def _plain(wanted: Wanted) -> dict[str, Any]:
    plain = {
        "kind": wanted.kind,
        "collection": wanted.collection,
        "since": _iso(wanted.since),
        "until": _iso(wanted.until),
        "vectors": wanted.vectors,
    }
    return plain | ({"dataset_hash": wanted.dataset_hash} if wanted.dataset_hash else {})


def _iso(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None


def _whole_shards(folder: Path, wanted: Wanted) -> tuple[list[Path], int, str | None]:
    """The shards that can be believed, their rows, the last key; what follows them is removed."""
    shards: list[Path] = []
    rows, after = 0, None
    while (path := _path(folder, wanted, len(shards))).exists():
        try:
            with pq.ParquetFile(path) as file:
                if file.schema_arrow != wanted.schema() or not file.metadata.num_rows:
                    break
                rows += file.metadata.num_rows
                last = file.num_row_groups - 1
                after = file.read_row_group(last, columns=[wanted.selection().key])[0][-1].as_py()
        except pa.ArrowException:
            break
        shards.append(path)
    for path in _shards(folder, wanted):
        if path not in shards:
            path.unlink()
    return shards, rows, after


def _shards(folder: Path, wanted: Wanted) -> list[Path]:
    """All, the half-written one among them."""
    return list(folder.glob(f"{wanted.kind}-*.parquet*"))


def _path(folder: Path, wanted: Wanted, number: int) -> Path:
    return folder / f"{wanted.kind}-{number:05}.parquet"


def _shard(door: Door, wanted: Wanted, newest: str, after: str | None, size: int) -> pa.Table:
    """The next `size` rows, fewer only at the end."""
    selection, schema = wanted.selection(), wanted.schema()
    tables: list[pa.Table] = []
    rows = 0
    while rows < size:
        key, limit = after, size - rows
        page = patiently(lambda: door.page(selection, newest=newest, after=key, limit=limit))  # noqa: B023 - called at once
        if not page:
            break
        tables.append(_table(page, schema))
        rows += len(page)
        after = str(page[-1][selection.key])
    return pa.concat_tables(tables) if tables else schema.empty_table()


def _write(table: pa.Table, folder: Path, wanted: Wanted, number: int) -> Path:
    path = _path(folder, wanted, number)
    part = path.with_suffix(".parquet.part")
    with part.open("wb") as file:
        pq.write_table(table, file, compression="zstd")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    return path


def _table(page: Page, schema: pa.Schema) -> pa.Table:
    """Both doors' rows in the same types: ids and times come as text or as what they are."""
    columns = []
    for field in schema:
        values = [row[field.name] for row in page]
        if field.type == pa.string():
            values = [None if one is None else str(one) for one in values]
        elif field.type == TIME:
            values = [datetime.fromisoformat(o) if isinstance(o, str) else o for o in values]
        elif field.type == VECTOR:
            values = [np.fromstring(one[1:-1], np.float32, sep=",") for one in values]
        columns.append(pa.array(values, field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def patiently(ask: Callable[[], Result]) -> Result:
    """Ask again where the door is shut for a while."""
    for attempt in range(1, ATTEMPTS):
        try:
            return ask()
        except Unavailable:
            time.sleep(FIRST_WAIT_S * 2 ** (attempt - 1))
    return ask()
