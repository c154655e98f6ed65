"""Filling, swapping, going back and letting go: whatever is killed and whoever is in the way."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from model_pipeline.documents.found import Found, from_text
from model_pipeline.domain import Chunk
from model_pipeline.errors import ConfigurationError, Conflict, EmbedderMismatch
from model_pipeline.reembed import (
    Reembed,
    Reembedded,
    ReembedProgress,
    back,
    cancel,
    confirm,
)
from model_pipeline.store.connect import EMBEDDER_MISMATCH
from model_pipeline.store.dump import dump, restore
from model_pipeline.store.standby import alone, standby_status
from tests.conftest import NewDatabase
from tests.models import TITLE, assert_close, ingesting, open_tiny, put, rows, texts, vectors

MARKDOWN = "# Red tent\n\n{0} rope.\n\n## Old stove\n\n{0} kettle.\n\n```\nnew {0} boots\n```\n"


def test_the_store_becomes_what_an_ingest_with_the_new_model_makes(
    database: str, new_database: NewDatabase, tiny_models: dict[str, str], tmp_path: Path
) -> None:
    for number, words in enumerate(texts(60, 5)):
        (tmp_path / f"{number}.md").write_text(MARKDOWN.format(f"{words} " * 6))
    new = open_tiny(tiny_models["narrow"])
    with ingesting(database, open_tiny(tiny_models["old"])) as ingest:
        assert ingest.run([str(tmp_path)], collection="c").new == 60
    assert Reembed(database, new).run().embedded > 120
    with new_database() as other, ingesting(other, new) as ingest:
        ingest.run([str(tmp_path)], collection="c")
        assert_close(vectors(other), vectors(database))
        confirm(database)
        for query in (CATALOG_COLUMNS, CATALOG_INDEXES, CATALOG_CONSTRAINTS):
            assert rows(database, query) == rows(other, query)


CATALOG_COLUMNS = """
select attname, format_type(atttypid, atttypmod), attnotnull, attstorage from pg_attribute
where attrelid = 'public.chunks'::regclass and attnum > 0 and not attisdropped order by 1
"""
CATALOG_INDEXES = """
select indexdef, x.indisvalid from pg_indexes as i
join pg_index as x on x.indexrelid = (schemaname || '.' || indexname)::regclass
where tablename = 'chunks' order by 1
"""
CATALOG_CONSTRAINTS = """
select conname, pg_get_constraintdef(oid) from pg_constraint
where conrelid = 'public.chunks'::regclass order by 1
"""


# A model that needs no torch to load, and is slow enough to be killed at work.
REEMBED = """
import hashlib, sys, time
import numpy as np
from model_pipeline.reembed import Reembed
class Hashing:
    name = spec = "hashing"
    dimensions, max_tokens = 16, 128
    def embed(self, texts):
        time.sleep(0.1)
        seeds = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) for text in texts]
        vectors = np.stack([np.random.default_rng(seed).normal(size=16) for seed in seeds])
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
def tell(so_far):
    print(so_far.phase, so_far.filled, flush=True)
print(Reembed(sys.argv[1], Hashing(), progress=tell).run().outcome, flush=True)
"""


def test_killed_at_any_moment_it_goes_on_where_it_stopped(
    database: str, tiny_models: dict[str, str]
) -> None:
    contents = texts(2000, 3)
    with ingesting(database, open_tiny(tiny_models["narrow"])) as ingest:
        put(ingest, "c", contents)
    before = vectors(database)
    rng = random.Random(11)
    filled = 0
    for until in ("filling", "filling", "filling", "indexing"):
        with subprocess.Popen(
            [sys.executable, "-c", REEMBED, database], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            first = process.stdout.readline().split()
            # Nothing that was filled is filled again.
            assert first[0] == "filling" and filled <= int(first[1]) < 2000
            for line in process.stdout:
                phase, number = line.split()
                filled = int(number)
                if phase == until:
                    break
            time.sleep(rng.random() * 0.1)
            process.kill()
        if until == "filling":
            status = standby_status(database)
            assert status.standby and status.standby.state == "next"
            assert 0 < filled <= status.filled < 2000
            assert vectors(database).keys() == before.keys()
    done = subprocess.run(
        [sys.executable, "-c", REEMBED, database], capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-1] in ("switched", "active")
    found = vectors(database)
    assert found.keys() == before.keys()
    assert {one.shape for one in found.values()} == {(16,)}
    status = standby_status(database)
    assert (status.index, status.chunks, status.filled) == ("valid", 2000, 2000)
    confirm(database)
    assert ("embedding", "extensions.halfvec(16)", True) in [
        (name, kind if "." in kind else f"extensions.{kind}", required)
        for name, kind, required, _ in rows(database, CATALOG_COLUMNS)
    ]


def test_back_with_what_was_written_meanwhile(database: str, tiny_models: dict[str, str]) -> None:
    old, new = tiny_models["old"], tiny_models["narrow"]
    with ingesting(database, open_tiny(old)) as ingest:
        put(ingest, "c", texts(100, 1))
        kept = vectors(database)
        assert Reembed(database, open_tiny(new)).run().outcome == "switched"
        with pytest.raises(EmbedderMismatch, match=r"made by .*narrow.*, and .*old.* is set"):
            put(ingest, "c", texts(5, 2), "late")
    with ingesting(database) as ingest:  # this one follows
        put(ingest, "c", texts(20, 2), "late")
    assert {one.shape for one in vectors(database).values()} == {(32,)}
    with psycopg.connect(database) as connection:  # as a build that was stopped leaves it
        connection.execute(
            "update pg_index set indisvalid = false "
            "where indexrelid = 'chunks_embedding_standby'::regclass"
        )
        connection.execute(  # and as a switch that was killed right after it was done
            "alter table chunks alter embedding drop not null, "
            "add constraint chunks_embedding_given check (embedding is not null) not valid"
        )
    done = back(database, open_tiny)
    assert (done.outcome, done.embedded) == ("switched", 20)
    assert all(valid for _, valid in rows(database, CATALOG_INDEXES))
    found = vectors(database)
    assert len(found) == 120
    for content, vector in kept.items():
        assert (found[content] == vector).all()
    # And forth again, where nothing is left to embed.
    assert Reembed(database, open_tiny(new)).run().embedded == 0
    assert Reembed(database, open_tiny(new)).run().outcome == "already active"
    assert confirm(database)
    assert confirm(database) is None
    with pytest.raises(Conflict, match="no switch to take back"):
        back(database, open_tiny)
    assert rows(database, "select state from embedder") == [("active",)]


def test_a_switch_between_two_batches_of_an_ingest(
    database: str, tiny_models: dict[str, str]
) -> None:
    with ingesting(database, open_tiny(tiny_models["old"])) as ingest:
        put(ingest, "c", ["First."])
    switched: list[Reembedded] = []

    def found() -> Iterator[Found]:
        for number, text in enumerate(texts(700, 4)):
            if number == 400:  # the first 256 are written or being written
                switched.append(Reembed(database, open_tiny(tiny_models["alike"])).run())
            yield from_text(f"{number}.txt", text.encode(), title=TITLE, metadata={})

    with ingesting(database) as ingest:
        assert ingest.run_found(found(), collection="c").new == 700
    assert [one.outcome for one in switched] == ["switched"]
    new = open_tiny(tiny_models["alike"])
    stored = {text: vector for text, vector in vectors(database).items() if text != "First."}
    wanted = new.embed([Chunk(0, 0, 0, text).text_to_embed(TITLE) for text in stored])
    assert_close(stored, dict(zip(stored, wanted, strict=True)))


def test_one_switch_at_a_time(database: str, tiny_models: dict[str, str]) -> None:
    with ingesting(database, open_tiny(tiny_models["old"])) as ingest:
        put(ingest, "c", texts(600, 1))
    stop = threading.Event()
    halted = Reembed(
        database, open_tiny(tiny_models["alike"]), progress=lambda _: stop.set(), stop=stop
    )
    assert halted.run().outcome == "stopped"
    with pytest.raises(Conflict, match=r"A switch to .*alike/model is under way"):
        Reembed(database, open_tiny(tiny_models["narrow"])).run()
    with pytest.raises(Conflict, match="is not done yet"):
        confirm(database)
    with pytest.raises(Conflict, match="no switch to take back"):
        back(database, open_tiny)
    with alone(database), pytest.raises(Conflict, match="Another program is re-embedding"):
        cancel(database)
    assert cancel(database) == 0
    assert cancel(database) is None
    assert Reembed(database, open_tiny(tiny_models["narrow"])).run().outcome == "switched"
    with pytest.raises(Conflict, match="is done already"):
        cancel(database)
    with pytest.raises(Conflict, match="is not confirmed yet"):
        Reembed(database, open_tiny(tiny_models["alike"])).run()


def test_an_empty_store_takes_the_new_one_at_once(
    database: str, tiny_models: dict[str, str]
) -> None:
    Reembed(database, open_tiny(tiny_models["narrow"])).run()
    with ingesting(database) as ingest:
        put(ingest, "c", texts(3, 1))
    assert {one.shape for one in vectors(database).values()} == {(32,)}


def test_who_reads_for_long_is_waited_for_and_holds_nobody_up(
    database: str, tiny_models: dict[str, str]
) -> None:
    with ingesting(database, open_tiny(tiny_models["old"])) as ingest:
        put(ingest, "c", texts(50, 1))
    switching: list[Reembedded] = []
    reading = threading.Event()
    with psycopg.connect(database) as reader, psycopg.connect(database, autocommit=True) as other:
        thread = threading.Thread(
            target=lambda: switching.append(
                Reembed(database, open_tiny(tiny_models["alike"]), progress=tell).run()
            )
        )

        def tell(so_far: ReembedProgress) -> None:
            if so_far.phase == "switching" and not reading.is_set():
                reading.set()
                reader.execute("select count(*) from chunks")

        thread.start()
        assert reading.wait(60)
        slowest = 0.0
        until = time.monotonic() + 3
        while time.monotonic() < until:
            started = time.monotonic()
            other.execute("select count(*) from chunks")
            slowest = max(slowest, time.monotonic() - started)
        assert thread.is_alive() and not switching
        reader.rollback()
        thread.join()
    assert slowest < 1
    assert switching[0].outcome == "switched"


def test_a_search_that_began_before_the_switch_is_refused_by_its_name(
    database: str, tiny_models: dict[str, str]
) -> None:
    """Its snapshot is older than the columns it would read."""
    with ingesting(database, open_tiny(tiny_models["old"])) as ingest:
        put(ingest, "c", texts(50, 1))
    # So that the index is there: its build would wait for the search.
    model = open_tiny(tiny_models["alike"])
    Reembed(database, model).run()
    (vector,) = model.embed(["red tent"])
    begun = (
        "select count(*) from (select pg_sleep(%s)) as waited, "
        "lateral public.search_chunks('red tent', %s::extensions.halfvec, embedder => %s)"
    )
    with psycopg.connect(database, autocommit=True) as connection:
        arguments = json.dumps(vector.tolist()), model.name
        assert connection.execute(begun, (0, *arguments)).fetchone() == (10,)
        with ThreadPoolExecutor(1) as thread:
            search = thread.submit(connection.execute, begun, (3, *arguments))
            time.sleep(0.5)
            assert back(database, open_tiny).outcome == "switched"
            assert not search.done()
            with pytest.raises(psycopg.DatabaseError) as caught:
                search.result()
    assert caught.value.sqlstate == EMBEDDER_MISMATCH


def test_a_dump_has_the_active_vectors_alone(
    database: str, new_database: NewDatabase, tiny_models: dict[str, str], tmp_path: Path
) -> None:
    with ingesting(database, open_tiny(tiny_models["old"])) as ingest:
        put(ingest, "c", texts(50, 1))
    Reembed(database, open_tiny(tiny_models["narrow"])).run()
    dump(database, tmp_path / "all.dump")
    with new_database() as other:
        restore(other, tmp_path / "all.dump")
        stored = "select chunk_id, embedding::text from chunks order by 1"
        assert rows(other, stored) == rows(database, stored)
        noted = "select name, dimensions, spec, state from embedder where active"
        assert rows(other, noted) == rows(database, noted)
        with ingesting(other) as ingest:
            put(ingest, "c", texts(3, 2), "more")
    with psycopg.connect(database) as connection:
        connection.execute("delete from documents")
    with pytest.raises(Conflict, match="being switched"):
        restore(database, tmp_path / "all.dump")


def test_a_transaction_pooler_is_refused() -> None:
    with (
        pytest.raises(ConfigurationError, match="transaction pooler"),
        alone("postgresql://user@127.0.0.1:6543/x"),
    ):
        pass
