"""Loads: the same through both doors, each row once, and on where they stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model_pipeline.errors import (
    ConfigurationError,
    Conflict,
    Forbidden,
    InvalidInput,
    PromptlyError,
    StoreUnavailable,
    Unauthorized,
)
from model_pipeline.load_data import Wanted, export, load
from model_pipeline.store.connect import open_pool
from model_pipeline.store.doors import Door, Kind, Page, PostgresDoor, Selection, SupabaseDoor
from model_pipeline.store.supabase_api import open_client
from tests.conftest import NewDatabase
from tests.servers import supabase_lite
from tests.servers.ports import free_port
from tests.servers.supabase_lite import SupabaseServer

ROWS = 2600
SHARD = 1000
START = datetime(2026, 1, 1, tzinfo=UTC)
FILL = """
insert into collections (name) values ('shop'), ('work');
insert into documents (collection_id, source, title, metadata, content_hash, updated_at)
select c.collection_id, c.name || n, 'T "' || n, '{"price": 1.0, "n": 12345678901234567890}', 'h',
    '2026-01-01T00:00:00.123456Z'::timestamptz + n * interval '1 second'
from collections as c, generate_series(1, 650) as n;
insert into chunks (collection_id, document_id, ordinal, start_at, heading_path, content, metadata,
    embedding)
select d.collection_id, d.document_id, o, o * 10, array['a, "b"', '', 'ü'],
    E'Line\\n\\t' || d.source || o, d.metadata,
    (select array_agg(sin(i * o + length(d.source))) from generate_series(1, 384) as i
    )::real[]::extensions.vector::extensions.halfvec(384)
from documents as d, generate_series(0, 1) as o;
insert into answers (question, answer, release_id, collection, citations, created_at)
select 'q' || n, 'a' || n, 'r', case when n % 2 = 0 then 'shop' end, '[{"n": 1, "score": 1.0}]',
    '2026-01-01T00:00:00.5Z'::timestamptz + n * interval '1 second'
from generate_series(1, 2600) as n;
insert into feedback (answer_id, rating, corrected_answer, created_at, updated_at)
select answer_id, case when right(answer, 1) < '5' then 'up' else 'down' end,
    case when right(answer, 1) = '7' then 'better' end, created_at, created_at + interval '1 hour'
from answers;
"""
Doors = dict[str, Door]


@pytest.fixture(scope="module")
def supabase(
    new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SupabaseServer]:
    if reason := supabase_lite.missing():
        pytest.skip(f"{reason}: sh tests/servers/install-node.sh supabase")
    with new_database() as conninfo:
        with psycopg.connect(conninfo) as connection:
            connection.execute(FILL)
        with supabase_lite.running(conninfo, tmp_path_factory.mktemp("supabase")) as server:
            yield server


@pytest.fixture(scope="module")
def doors(supabase: SupabaseServer) -> Iterator[Doors]:
    with ExitStack() as stack:
        pool = stack.enter_context(open_pool(supabase.conninfo, min_size=1, max_size=1))
        client = stack.enter_context(open_client(supabase.url, supabase.service_key))
        yield {"postgres": PostgresDoor(pool), "https": SupabaseDoor(client)}


class Watched:
    """A door that notes where each page began, and does something before it."""

    def __init__(self, door: Door, before: Callable[[int], None] = lambda page: None) -> None:
        self._door = door
        self._before = before
        self.began_after: list[str | None] = []

    def extent(self, selection: Selection) -> tuple[int, str | None]:
        return self._door.extent(selection)

    def page(self, selection: Selection, *, newest: str, after: str | None, limit: int) -> Page:
        self._before(len(self.began_after))
        self.began_after.append(after)
        return self._door.page(selection, newest=newest, after=after, limit=limit)


def read(shards: Sequence[Path]) -> pa.Table:
    return pa.concat_tables(pq.read_table(path) for path in shards)


def keys(table: pa.Table) -> list[str]:
    found: list[str] = table.column(0).to_pylist()
    return found


@pytest.mark.parametrize("kind", get_args(Kind))
def test_both_doors_load_the_same(doors: Doors, tmp_path: Path, kind: Kind) -> None:
    wanted = Wanted(kind, vectors=kind == "chunks")
    tables = {
        name: read(export(door, wanted, tmp_path / name, shard_rows=SHARD).shards)
        for name, door in doors.items()
    }
    assert tables["postgres"].equals(tables["https"])
    assert tables["https"].num_rows == len(set(keys(tables["https"]))) == ROWS
    assert keys(tables["https"]) == sorted(keys(tables["https"]))


def test_what_is_loaded_is_what_is_stored(
    doors: Doors, supabase: SupabaseServer, tmp_path: Path
) -> None:
    table = read(export(doors["https"], Wanted("chunks", vectors=True), tmp_path / "c").shards)
    row = table.slice(ROWS // 2, 1).to_pylist()[0]
    with psycopg.connect(supabase.conninfo) as connection:
        stored = connection.execute(
            "select k.content, k.heading_path, d.title, d.updated_at, k.embedding::real[] "
            "from chunks as k join documents as d using (document_id) where chunk_id = %s",
            (row["chunk_id"],),
        ).fetchone()
    assert stored is not None
    assert (row["content"], row["heading_path"], row["title"], row["updated_at"]) == stored[:4]
    assert row["metadata"] == '{"n": 12345678901234567890, "price": 1.0}'
    np.testing.assert_array_equal(np.float32(row["embedding"]), np.float32(stored[4]))

    pairs = read(export(doors["https"], Wanted("pairs"), tmp_path / "p").shards).to_pylist()
    by_last_digit = {one["answer"][-1]: one["reference"] != one["answer"] for one in pairs}
    assert {digit for digit, other in by_last_digit.items() if not other} == set("01234")
    assert {one["reference"] for one in pairs if one["answer"].endswith("7")} == {"better"}


@pytest.mark.parametrize("name", ["postgres", "https"])
def test_a_filter_by_collection_and_time(doors: Doors, tmp_path: Path, name: str) -> None:
    since = START + timedelta(seconds=101, microseconds=123456)
    wanted = Wanted("chunks", "shop", since, since + timedelta(seconds=50))
    table = read(export(doors[name], wanted, tmp_path / name).shards)
    assert table.num_rows == 2 * 50  # the last second is not in it
    assert set(table["collection"].to_pylist()) == {"shop"}
    assert min(table["updated_at"].to_pylist()) == since
    none = export(doors[name], replace(wanted, collection="absent"), tmp_path / "none")
    assert (none.rows, none.newest) == (0, None)
    assert read(none.shards).schema == wanted.schema()


KILLED = """
import os, signal, sys
from pathlib import Path
from model_pipeline.load_data import Wanted, export
from model_pipeline.store.connect import open_pool
from model_pipeline.store.doors import PostgresDoor, SupabaseDoor
from model_pipeline.store.supabase_api import open_client
from tests.model_pipeline.test_load_data import Watched

name, conninfo, url, key, folder = sys.argv[1:]

def die(page):
    if page == 5:
        os.kill(os.getpid(), signal.SIGKILL)

if name == "postgres":
    opened, door = open_pool(conninfo, min_size=1, max_size=1), PostgresDoor
else:
    opened, door = open_client(url, key), SupabaseDoor
with opened as way:
    export(Watched(door(way), die), Wanted("pairs"), Path(folder), shard_rows=300)
"""


@pytest.mark.parametrize("name", ["postgres", "https"])
def test_a_killed_load_goes_on_where_it_stopped(
    doors: Doors, supabase: SupabaseServer, tmp_path: Path, name: str
) -> None:
    where = (supabase.conninfo, supabase.url, supabase.service_key, str(tmp_path / "cut"))
    killed = subprocess.run([sys.executable, "-c", KILLED, name, *where], check=False)
    assert killed.returncode == -signal.SIGKILL
    there = sorted((tmp_path / "cut").glob("*.parquet"))
    assert len(there) == 5
    (tmp_path / "cut/pairs-00005.parquet.part").write_bytes(b"half a shard")

    other = "https" if name == "postgres" else "postgres"  # a load may change doors, too
    watched = Watched(doors[other])
    done = export(watched, Wanted("pairs"), tmp_path / "cut", shard_rows=300)
    assert (done.rows, done.rows_before) == (ROWS, 1500)
    assert watched.began_after[0] == keys(pq.read_table(there[-1]))[-1]
    assert len(watched.began_after) == 5  # 300, 300, 300, 200, none
    whole = export(doors[name], Wanted("pairs"), tmp_path / "whole", shard_rows=300)
    assert read(done.shards).equals(read(whole.shards))
    assert sorted(path.name for path in (tmp_path / "cut").iterdir()) == sorted(
        ["load.json", *(path.name for path in done.shards)]
    )

    again = Watched(doors[name])
    assert export(again, Wanted("pairs"), tmp_path / "cut").rows_before == ROWS
    assert again.began_after == []


def test_a_shard_of_many_pages_where_the_server_gives_a_thousand_rows(
    doors: Doors, tmp_path: Path
) -> None:
    watched = Watched(doors["https"])
    done = export(watched, Wanted("feedback"), tmp_path)
    assert (done.rows, len(done.shards)) == (ROWS, 1)
    assert len(watched.began_after) == 4  # 1000, 1000, 600, none


def test_a_damaged_shard_and_those_after_it_are_read_again(doors: Doors, tmp_path: Path) -> None:
    first = export(doors["postgres"], Wanted("pairs"), tmp_path, shard_rows=300)
    expected = read(first.shards)
    damaged = first.shards[4]
    damaged.write_bytes(damaged.read_bytes()[:-20])
    again = export(doors["postgres"], Wanted("pairs"), tmp_path, shard_rows=300)
    assert again.rows_before == 1200
    assert read(again.shards).equals(expected)


def test_what_changes_while_it_runs_is_the_next_loads(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    with (
        new_database() as conninfo,
        psycopg.connect(conninfo, autocommit=True) as writer,
        open_pool(conninfo, min_size=1, max_size=1) as pool,
    ):
        writer.execute(FILL)

        def write(page: int) -> None:
            writer.execute("insert into answers (question, answer, release_id) "
                           "select 'new', 'new', 'r' from generate_series(1, 50)")  # fmt: skip
            writer.execute(
                "update feedback set rating = 'up' where answer_id in "
                "(select answer_id from answers order by answer_id desc limit 3)"
            )

        door = PostgresDoor(pool)
        done = export(Watched(door, write), Wanted("pairs"), tmp_path / "first", shard_rows=300)
        loaded = read(done.shards)
        assert "new" not in loaded["answer"].to_pylist()
        assert done.newest is not None
        since = datetime.fromisoformat(done.newest)
        rest = read(export(door, Wanted("pairs", since=since), tmp_path / "next").shards)
        all_of_them = writer.execute("select answer_id::text from answers").fetchall()
    assert set(keys(loaded)) | set(keys(rest)) == {key for (key,) in all_of_them}
    assert len(set(keys(loaded))) == loaded.num_rows >= ROWS - 3 * 10


def test_an_edit_in_the_table_is_the_next_loads(new_database: NewDatabase, tmp_path: Path) -> None:
    with (
        new_database() as conninfo,
        psycopg.connect(conninfo, autocommit=True) as writer,
        open_pool(conninfo, min_size=1, max_size=1) as pool,
    ):
        writer.execute(FILL)
        door = PostgresDoor(pool)
        done = export(door, Wanted("chunks"), tmp_path / "first")
        since = datetime.fromisoformat(str(done.newest)) + timedelta(microseconds=1)
        writer.execute("update documents set metadata = '{\"price\": 2}' where source = 'shop7'")
        rest = read(export(door, Wanted("chunks", since=since), tmp_path / "next").shards)
    assert rest["source"].to_pylist() == ["shop7", "shop7"]
    assert rest["metadata"].to_pylist() == ['{"price": 2}'] * 2


@pytest.mark.parametrize("name", ["postgres", "https"])
def test_a_door_that_is_shut_for_a_while(
    doors: Doors, supabase: SupabaseServer, tmp_path: Path, name: str
) -> None:
    def shut(page: int) -> None:
        if page == 2 and name == "postgres":  # a server that hangs up: the next page comes anew
            with psycopg.connect(supabase.conninfo, autocommit=True) as connection:
                connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where datname = current_database() and application_name = 'promptly'"
                )
        if page == 4 and not failures:
            failures.append(page)
            raise StoreUnavailable("Away.")

    failures: list[int] = []
    done = export(Watched(doors[name], shut), Wanted("pairs"), tmp_path, shard_rows=300)
    assert (done.rows, failures) == (ROWS, [4])


def test_what_a_key_or_an_address_cannot_do(supabase: SupabaseServer, tmp_path: Path) -> None:
    cases: list[tuple[str, str, type[PromptlyError], str]] = [
        (supabase.url, "sb_secret_wrong", Unauthorized, "set it anew"),
        (f"http://127.0.0.1:{free_port()}", "any", StoreUnavailable, "does not answer"),
        ("nowhere", "any", ConfigurationError, "SUPABASE_URL"),
    ]
    for url, key, expected, words in cases:
        with pytest.raises(expected, match=words), open_client(url, key) as client:
            export(SupabaseDoor(client), Wanted("pairs"), tmp_path / "none")
    assert not list(tmp_path.iterdir())
    with open_client(supabase.url, supabase.anon_key) as client:
        for kind in get_args(Kind):
            with suppress(Forbidden):  # where not even the view may be read
                assert export(SupabaseDoor(client), Wanted(kind), tmp_path / kind).rows == 0


def test_folders_and_wishes_that_are_refused(doors: Doors, tmp_path: Path) -> None:
    door = doors["postgres"]
    export(door, Wanted("feedback"), tmp_path / "taken")
    with pytest.raises(Conflict, match="holds another load"):
        export(door, Wanted("feedback", "shop"), tmp_path / "taken")
    (tmp_path / "taken/load.json").unlink()
    with pytest.raises(Conflict, match="unknown load"):
        export(door, Wanted("feedback"), tmp_path / "taken")
    (tmp_path / "a-file").touch()
    with pytest.raises(InvalidInput, match="a-file cannot be written"):
        export(door, Wanted("feedback"), tmp_path / "a-file")
    with pytest.raises(InvalidInput, match="Only chunks have vectors"):
        Wanted("pairs", vectors=True)


def test_a_dataset(doors: Doors, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    wanted = Wanted("chunks", vectors=True)
    loaded = [load(door, wanted, tmp_path / name, shard_rows=SHARD) for name, door in doors.items()]
    assert len(loaded[0]) == ROWS
    assert loaded[0].features == loaded[1].features
    assert loaded[0].with_format("arrow")[:].equals(loaded[1].with_format("arrow")[:])
    assert len(loaded[0][0]["embedding"]) == 384
    assert loaded[0].cache_files
