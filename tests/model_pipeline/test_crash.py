"""Killed at random moments, a hundred times and more: nothing is lost, doubled or half there.

The seed is printed; PROMPTLY_CRASH_SEED repeats a run's choices, though not its scheduling.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from model_pipeline.domain import Chunk
from model_pipeline.store import diagnosis
from model_pipeline.store.embedded import embedded_postgres
from model_pipeline.store.migrations import migrate
from tests.model_pipeline import crashing

INGEST_KILLS = 40
WORKER_KILLS = 60
SERVER_KILLS = 10
REEMBED_KILLS = 20
FILES = 24
WORDS = "river stone heron reed silt otter lock weir ferry tide".split()

SQL = Path(diagnosis.__file__).parents[1] / "sql" / "doctor"
DRIFT, ORPHANS = ((SQL / name).read_text() for name in ("drift.sql", "orphans.sql"))
HELD = """
select d.source, d.content, d.content_hash, d.chunk_count, count(c.chunk_id),
    coalesce(string_agg(c.content, '' order by c.ordinal), ''),
    (select count(*) from jobs as j where j.document_id = d.document_id)
from documents as d left join chunks as c using (document_id)
group by d.document_id, 1, 2, 3, 4
"""
# Counts each time that chunks were made for a document, with what they were made from.
AUDIT = """
create table public.audit (document_id uuid, content text);
create function public.note() returns trigger language plpgsql as $$
begin
    insert into public.audit values (new.document_id, new.content);
    return null;
end $$;
create trigger audited after update on public.documents for each row
when (new.content_hash <> '' and old.content_hash = '') execute function public.note()
"""


@pytest.fixture
def chance() -> random.Random:
    seed = int(os.environ.get("PROMPTLY_CRASH_SEED", time.time_ns() % 1_000_000))
    sys.stdout.write(f"PROMPTLY_CRASH_SEED={seed}\n")
    return random.Random(seed)


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    return crashing.processes()


def text_of(name: str, version: int, chance: random.Random) -> str:
    parts = [f"# {name} in version {version}"]
    parts += [
        f"Part {part} of {name} at {version}: " + " ".join(chance.choices(WORDS, k=35)) + "."
        for part in range(chance.randint(1, 9))
    ]
    return "\n\n".join(parts) + "\n"


def require_exact(connection: psycopg.Connection[Any]) -> None:
    assert connection.execute(DRIFT).fetchone() == (0, 0)
    assert connection.execute(ORPHANS).fetchone() == (0, 0, 0, 0)


def kill_at_random(
    processes: ForkServerContext, run: Callable[..., None], *arguments: object, after_s: float
) -> bool:
    """Whether the process was killed before it was through."""
    process: ForkServerProcess = processes.Process(target=run, args=arguments)
    process.start()
    process.join(after_s)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def run_through(
    processes: ForkServerContext, run: Callable[..., None], *arguments: object
) -> float:
    started = time.perf_counter()
    process = processes.Process(target=run, args=arguments)
    process.start()
    process.join(120)
    assert process.exitcode == 0
    return time.perf_counter() - started


def test_a_killed_ingest(
    database: str, processes: ForkServerContext, chance: random.Random, tmp_path: Path
) -> None:
    versions: dict[str, list[str]] = {}

    def edit(name: str) -> None:
        path = tmp_path / f"{name}.md"
        if path.exists() and chance.random() < 0.2:
            path.unlink()
            return
        written = versions.setdefault(str(path), [])
        written.append(text_of(name, len(written), chance))
        path.write_text(written[-1])

    def edit_some() -> None:
        for number in chance.sample(range(FILES), 8):
            edit(f"file{number}")

    for number in range(FILES):
        edit(f"file{number}")
    run_through(processes, crashing.ingest, database, str(tmp_path))
    edit_some()
    took = run_through(processes, crashing.ingest, database, str(tmp_path))
    kills = 0
    with psycopg.connect(database, autocommit=True) as connection:
        while kills < INGEST_KILLS:
            stood = {row[0]: row[5] for row in connection.execute(HELD)}
            edit_some()
            kills += kill_at_random(
                processes,
                crashing.ingest,
                database,
                str(tmp_path),
                after_s=chance.uniform(0, took),
            )
            _require_none_in_the_way(connection)
            now = {}
            for source, _, digest, count, chunks, text, _ in connection.execute(HELD):
                now[source] = text
                assert digest and count == chunks  # never half there
                assert text in versions[source]
            for source, text in stood.items():
                if Path(source).exists() and versions[source][-1] == text:
                    assert now[source] == text  # never lost
            require_exact(connection)
        run_through(processes, crashing.ingest, database, str(tmp_path))
        assert {row[0]: row[5] for row in connection.execute(HELD)} == {
            str(path): path.read_text() for path in tmp_path.iterdir()
        }
        require_exact(connection)


def test_a_killed_worker(
    database: str, processes: ForkServerContext, chance: random.Random
) -> None:
    kills = 0
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(AUDIT)
        connection.execute("insert into collections (name) values ('rows')")
        while kills < WORKER_KILLS:
            _edit_rows(connection, chance, kills)
            kills += kill_at_random(
                processes, crashing.work, database, False, after_s=chance.uniform(0.02, 0.4)
            )
            _require_none_in_the_way(connection)
            _require_whole_or_asked_for(connection)
            # As if the leases of the dead had run out.
            connection.execute("update jobs set leased_until = now() where worker_id is not null")
            connection.execute("update jobs set attempts = 0, due_at = now()")
        run_through(processes, crashing.work, database, True)
        _require_whole_or_asked_for(connection)
        assert connection.execute("select count(*) from jobs").fetchone() == (0,)
        twice = "select 1 from audit group by document_id, content having count(*) > 1"
        assert connection.execute(twice).fetchall() == []


def test_a_killed_reembed(
    database: str, processes: ForkServerContext, chance: random.Random, tmp_path: Path
) -> None:
    """To and fro between two embedders; whatever was reached, all vectors are the active one's."""
    for number in range(FILES):
        (tmp_path / f"file{number}.md").write_text(text_of(str(number), 0, chance))
    run_through(processes, crashing.ingest, database, str(tmp_path))
    took = run_through(processes, crashing.reembed, database, "other")
    kills, names = 0, ["hash", "other"]
    with psycopg.connect(database, autocommit=True) as connection:
        _require_vectors_of(connection, "other")
        while kills < REEMBED_KILLS:
            kills += kill_at_random(
                processes, crashing.reembed, database, names[0], after_s=chance.uniform(0, took)
            )
            _require_none_in_the_way(connection)
            ((active,),) = connection.execute("select name from embedder where active").fetchall()
            _require_vectors_of(connection, active)
            names.sort(key=active.__eq__)
            require_exact(connection)
        run_through(processes, crashing.reembed, database, names[0])
        _require_vectors_of(connection, names[0])
        valid = "select indisvalid from pg_index where indexrelid = 'chunks_embedding'::regclass"
        assert connection.execute(valid).fetchone() == (True,)


def _require_vectors_of(connection: psycopg.Connection[Any], name: str) -> None:
    rows = connection.execute(
        "select c.content, c.heading_path, d.title, c.embedding::real[] "
        "from chunks as c join documents as d using (document_id)"
    ).fetchall()
    texts = [
        Chunk(0, 0, len(text), text, tuple(path)).text_to_embed(title)
        for text, path, title, _ in rows
    ]
    expected = crashing.HashEmbedder(name).embed(texts)
    stored = np.array([vector for *_, vector in rows], dtype=np.float32)
    assert np.abs(stored - expected).max() < 1e-3


def test_a_killed_server(
    processes: ForkServerContext, chance: random.Random, tmp_path: Path
) -> None:
    """While a worker and edits go on; each edit that was acknowledged is there in the end."""
    with embedded_postgres(tmp_path / "postgres") as conninfo:
        migrate(conninfo)
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute("insert into collections (name) values ('rows')")
        worker = processes.Process(target=crashing.work, args=(conninfo, False))
        worker.start()
        acknowledged: dict[str, str] = {}
        try:
            for number in range(SERVER_KILLS):
                _edit_until_killed(conninfo, tmp_path, chance, number, acknowledged)
                assert worker.is_alive()
                with _connected(conninfo) as connection:
                    _require_whole_or_asked_for(connection)
            with _connected(conninfo) as connection:
                connection.execute("update jobs set leased_until = now()")
                deadline = time.monotonic() + 240
                while connection.execute("select count(*) from jobs").fetchone() != (0,):
                    # What failed with the server waits longer each time: here it need not.
                    connection.execute("update jobs set due_at = now() where due_at > now()")
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
                _require_whole_or_asked_for(connection)
                held = {row[0]: row[5] for row in connection.execute(HELD)}
                # What was not acknowledged may be there too.
                assert {name: held[name] for name in acknowledged} == acknowledged
        finally:
            worker.kill()
            worker.join()


def _edit_rows(connection: psycopg.Connection[Any], chance: random.Random, turn: int) -> None:
    connection.execute(
        "insert into documents (collection_id, source, content) "
        "select collection_id, %s || n, %s || repeat(n || ' lies by the river. ', 5 * n) "
        "from collections, generate_series(1, 20) as n "
        "on conflict (collection_id, source) do update set content = excluded.content",
        (f"row {chance.randint(0, 2)} ", f"Turn {turn}: "),
    )
    connection.execute("delete from documents where random() < 0.1")


def _require_whole_or_asked_for(connection: psycopg.Connection[Any]) -> None:
    for _, content, digest, count, chunks, text, jobs in connection.execute(HELD):
        assert count == chunks
        if digest:
            assert (text, jobs) == (content, 0)
        else:
            assert (text, jobs) == ("", 1)
    require_exact(connection)


def _edit_until_killed(
    conninfo: str,
    home: Path,
    chance: random.Random,
    turn: int,
    acknowledged: dict[str, str],
) -> None:
    """Edits until the server, killed meanwhile, does not answer."""
    kill_at = time.monotonic() + chance.uniform(0.05, 0.6)
    postmaster = int((home / "postgres" / "postmaster.pid").read_text().split()[0])
    with _connected(conninfo) as connection:
        try:
            for number in range(1_000_000):
                source = f"row {number % 40}"
                text = text_of(source, turn * 1000 + number, chance)
                connection.execute(
                    "insert into documents (collection_id, source, content) "
                    "select collection_id, %s, %s from collections "
                    "on conflict (collection_id, source) do update set content = excluded.content",
                    (source, text),
                )
                acknowledged[source] = text
                if time.monotonic() >= kill_at:
                    os.kill(postmaster, signal.SIGKILL)
        except psycopg.OperationalError:
            pass
    # The last edit may have been committed though nobody was told so.
    acknowledged.pop(source, None)


def _connected(conninfo: str) -> psycopg.Connection[Any]:
    deadline = time.monotonic() + 30
    while True:
        try:
            return psycopg.connect(conninfo, autocommit=True)
        except psycopg.OperationalError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def _require_none_in_the_way(connection: psycopg.Connection[Any]) -> None:
    """Wait until the server has noticed that the client of its other sessions is gone."""
    deadline = time.monotonic() + 30
    others = (
        "select count(*) from pg_stat_activity where datname = current_database() "
        "and pid <> pg_backend_pid() and backend_type = 'client backend'"
    )
    while connection.execute(others).fetchone() != (0,):
        assert time.monotonic() < deadline
        time.sleep(0.005)
