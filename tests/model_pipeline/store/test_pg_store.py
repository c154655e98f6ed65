"""Documents in and out: whole or not at all, whoever else writes, whatever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import psycopg
import pytest
from psycopg_pool import ConnectionPool

from model_pipeline.errors import (
    ConfigurationError,
    EmbedderMismatch,
    InvalidInput,
    NotFound,
    StoreUnavailable,
)
from model_pipeline.store.connect import open_pool
from model_pipeline.store.embedded import embedded_postgres
from model_pipeline.store.migrations import migrate
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.rows import EmbeddedDocument

MakeDocument = Callable[..., EmbeddedDocument]

Pool = ConnectionPool[psycopg.Connection[Any]]


def one(pool: Pool, query: str) -> Any:
    with pool.connection() as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


@pytest.fixture
def collection(store: PgStore) -> UUID:
    return store.ensure_collection("manuals")


def only_id(store: PgStore) -> UUID:
    (summary,) = store.list_documents(collection=None, limit=2, after=None)
    return summary.document_id


def test_a_collection_is_made_once(store: PgStore, pool: Pool) -> None:
    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(store.ensure_collection, ["a"] * 8))) == 1
    assert one(pool, "select array_agg(name) from collections") == ["a"]


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "a\0b"])
def test_a_collection_needs_a_proper_name(store: PgStore, name: str) -> None:
    with pytest.raises(InvalidInput):
        store.ensure_collection(name)


def test_round_trip(store: PgStore, pool: Pool, collection: UUID, embedded: MakeDocument) -> None:
    item = embedded(metadata={"lang": "en", "year": 2024}, parts=("Eins. ", "Zwei 😀 "))
    store.replace_documents(collection, [item])
    summary, chunks = store.get_document(only_id(store))
    assert (summary.collection, summary.source, summary.title, summary.chunk_count) == (
        "manuals", "guide.md", "Guide", 2,
    )  # fmt: skip
    assert summary.metadata == {"lang": "en", "year": 2024}
    assert summary.content_hash == item.content_hash
    assert summary.updated_at.endswith("Z")
    assert [(c.ordinal, c.start, c.content) for c in chunks] == [
        (0, 0, "Eins. "),
        (1, 6, "Zwei 😀 "),
    ]
    assert chunks[1].heading_path == ("Part", "1")
    assert one(pool, "select context from chunks where ordinal = 1") == "Guide > Part > 1"
    assert one(pool, "select metadata from chunks limit 1") == {"lang": "en", "year": 2024}
    stored = one(pool, "select embedding from chunks where ordinal = 0").to_numpy()
    np.testing.assert_allclose(stored.astype(np.float32), item.vectors[0], atol=1e-3)


def test_metadata_beyond_json_is_kept_as_text(
    store: PgStore, pool: Pool, collection: UUID, embedded: MakeDocument
) -> None:
    store.replace_documents(collection, [embedded(metadata={"on": date(2024, 1, 31)})])
    assert one(pool, "select metadata from chunks limit 1") == {"on": "2024-01-31"}


def test_metadata_that_postgres_cannot_hold_is_mended(
    store: PgStore, pool: Pool, collection: UUID, embedded: MakeDocument
) -> None:
    metadata = {"a\0": ["b\ud800", float("inf")], "c": r"\u0000"}
    store.replace_documents(collection, [embedded(metadata=metadata)])
    kept = {"a\ufffd": ["b\ufffd", None], "c": r"\u0000"}
    assert one(pool, "select metadata from chunks limit 1") == kept


def test_a_replaced_document_keeps_its_id(
    store: PgStore, collection: UUID, embedded: MakeDocument
) -> None:
    store.replace_documents(collection, [embedded()])
    before = only_id(store)
    store.replace_documents(collection, [embedded()])
    assert only_id(store) == before


def test_what_was_renamed_is_not_taken_for_what_it_was(
    store: PgStore, pool: Pool, collection: UUID, embedded: MakeDocument
) -> None:
    store.replace_documents(collection, [embedded()])
    with pool.connection() as connection:
        connection.execute("update documents set source = 'renamed'")
    store.replace_documents(collection, [embedded()])
    assert store.counts()["documents"] == 2


def test_replacing_leaves_nothing_of_the_old(
    store: PgStore, pool: Pool, collection: UUID, embedded: MakeDocument
) -> None:
    store.replace_documents(collection, [embedded(parts=("old",) * 5)])
    store.replace_documents(collection, [embedded(parts=("new text",))])
    _, chunks = store.get_document(only_id(store))
    assert [c.content for c in chunks] == ["new text"]
    assert store.counts() == {"collections": 1, "documents": 1, "chunks": 1}
    assert one(pool, "select count(*) from chunk_lexemes") == 1
    assert one(pool, "select count(*) from lexeme_statistics where lexeme = 'old'") == 0


def test_of_two_documents_with_one_source_the_last_counts(
    store: PgStore, collection: UUID, embedded: MakeDocument
) -> None:
    store.replace_documents(collection, [embedded(parts=("a",)), embedded(parts=("b",))])
    assert [c.content for c in store.get_document(only_id(store))[1]] == ["b"]


@pytest.mark.parametrize("size", [0, 1, 300])
def test_batches_of_any_size(
    store: PgStore, collection: UUID, embedded: MakeDocument, size: int
) -> None:
    batch = [embedded(f"{n}.md") for n in range(size)]
    store.replace_documents(collection, batch)
    assert store.counts()["chunks"] == 2 * size
    sources = [item.document.source for item in batch]
    assert store.content_hashes(collection, [*sources, "other"]) == {
        item.document.source: item.content_hash for item in batch
    }


def test_a_document_without_chunks(
    store: PgStore, collection: UUID, embedded: MakeDocument
) -> None:
    store.replace_documents(collection, [embedded(parts=())])
    assert store.get_document(only_id(store))[1] == []


@pytest.mark.parametrize("text", ["nul \0 here", "half \ud83d pair"])
def test_text_that_cannot_be_stored_writes_nothing(
    store: PgStore, collection: UUID, embedded: MakeDocument, text: str
) -> None:
    with pytest.raises(InvalidInput):
        store.replace_documents(collection, [embedded("good.md"), embedded("bad.md", (text,))])
    assert store.counts()["documents"] == 0


def test_a_source_too_long_to_be_indexed_writes_nothing(
    store: PgStore, collection: UUID, embedded: MakeDocument
) -> None:
    long = "".join(str(uuid4()) for _ in range(200))
    with pytest.raises(InvalidInput, match="of this size"):
        store.replace_documents(collection, [embedded("good.md"), embedded(long)])
    assert store.counts()["documents"] == 0


def test_a_vector_of_the_wrong_width_writes_nothing(
    store: PgStore, collection: UUID, embedded: MakeDocument
) -> None:
    with pytest.raises(InvalidInput, match="dimensions"):
        store.replace_documents(collection, [embedded(dimensions=8)])
    assert store.counts()["documents"] == 0


def test_removing_by_source_and_by_id(
    store: PgStore, collection: UUID, embedded: MakeDocument
) -> None:
    store.replace_documents(collection, [embedded(f"{n}.md") for n in range(4)])
    other = store.ensure_collection("other")
    store.replace_documents(other, [embedded("0.md")])
    assert store.remove_sources(collection, ["0.md", "1.md", "absent.md"]) == 2
    assert store.sources_from(collection, "docs") == {"2.md", "3.md"}
    assert store.sources_from(collection, "elsewhere") == set()
    (left,) = store.list_documents(collection="other", limit=9, after=None)
    store.delete_document(left.document_id)
    assert store.counts() == {"collections": 2, "documents": 2, "chunks": 4}
    for action in (store.delete_document, store.get_document):
        with pytest.raises(NotFound):
            action(left.document_id)


def test_pages_cover_everything_once(
    store: PgStore, collection: UUID, embedded: MakeDocument
) -> None:
    store.replace_documents(collection, [embedded(f"{n}.md") for n in range(7)])
    seen, after = [], None
    while page := store.list_documents(collection="manuals", limit=3, after=after):
        seen += [summary.source for summary in page]
        after = page[-1].document_id
    assert sorted(seen) == [f"{n}.md" for n in range(7)]
    assert store.list_documents(collection="absent", limit=3, after=uuid4()) == []


def test_an_empty_store_takes_an_embedder_of_any_width(
    store: PgStore, pool: Pool, collection: UUID, embedded: MakeDocument
) -> None:
    store.register_embedder("small", 384)
    store.register_embedder("wide", 768)
    store.replace_documents(collection, [embedded(dimensions=768)])
    assert one(
        pool, "select indisvalid from pg_index where indexrelid='chunks_embedding'::regclass"
    )
    store.register_embedder("wide", 768)
    with pytest.raises(EmbedderMismatch, match="made by wide, and small is set"):
        store.register_embedder("small", 384)


def test_an_embedder_too_wide_to_be_indexed(store: PgStore) -> None:
    with pytest.raises(ConfigurationError, match="4096 dimensions"):
        store.register_embedder("wide", 4096)


def test_an_embedder_replaced_by_another_program_is_noticed(
    pool: Pool, embedded: MakeDocument
) -> None:
    early, late = PgStore(pool), PgStore(pool)
    early.register_embedder("a", 384)
    late.register_embedder("b", 384)
    with pytest.raises(EmbedderMismatch, match="b in place of a"):
        early.replace_documents(early.ensure_collection("x"), [embedded()])
    assert early.counts()["documents"] == 0


def test_two_writers_of_the_same_documents(
    store: PgStore, pool: Pool, collection: UUID, embedded: MakeDocument
) -> None:
    def write(turn: int) -> None:
        names = [f"{n}.md" for n in range(10)]
        for name in names if turn % 2 else names[::-1]:
            store.replace_documents(collection, [embedded(name, (f"turn {turn} ",) * 3)])

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, range(4)))
    assert store.counts()["chunks"] == 30
    assert one(pool, "select count(*) from (select from chunks group by document_id "
               "having count(distinct content) > 1) as mixed") == 0  # fmt: skip
    assert one(pool, "select sum(chunk_count) from lexeme_statistics where lexeme = 'turn'") == 30


def test_writers_and_deleters_do_not_lock_each_other_out(
    store: PgStore, collection: UUID, embedded: MakeDocument
) -> None:
    batch = [embedded(f"{n}.md") for n in range(5)]
    store.replace_documents(collection, batch)
    ids = [summary.document_id for summary in store.list_documents(
        collection=None, limit=9, after=None)]  # fmt: skip

    def delete() -> None:
        for document_id in ids * 4:
            try:
                store.delete_document(document_id)
            except NotFound:
                continue

    with ThreadPoolExecutor(3) as threads:
        work = [threads.submit(delete), threads.submit(delete)]
        for _ in range(10):
            store.replace_documents(collection, batch)
        for future in work:
            future.result()


def test_readers_never_see_half_a_document(
    store: PgStore, collection: UUID, embedded: MakeDocument
) -> None:
    versions = [embedded(parts=(f"version {n} ",) * (n + 1)) for n in range(6)]
    store.replace_documents(collection, versions[:1])
    document_id = only_id(store)
    done = threading.Event()

    def write() -> None:
        try:
            for version in versions * 5:
                store.replace_documents(collection, [version])
        finally:
            done.set()

    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write)
        reads = 0
        while not done.is_set():
            summary, chunks = store.get_document(document_id)
            assert len(chunks) == summary.chunk_count
            assert len({chunk.content for chunk in chunks}) == 1
            reads += 1
        writing.result()
    assert reads > 1


WRITE_FOREVER = """
import sys
from itertools import count
import numpy as np
from model_pipeline.domain import Chunk, Document
from model_pipeline.store.connect import open_pool
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.rows import EmbeddedDocument
vectors = np.full((20, 384), 384**-0.5, np.float32)
with open_pool(sys.argv[1], min_size=1, max_size=1) as pool:
    store = PgStore(pool)
    collection = store.ensure_collection("manuals")
    for n in count():
        text = f"turn{n} "
        chunks = [Chunk(i, i * len(text), (i + 1) * len(text), text) for i in range(20)]
        document = Document(f"{n % 3}.md", "", text * 20)
        item = EmbeddedDocument(document, document.content_hash(), "", chunks, vectors)
        store.replace_documents(collection, [item])
        print(n, flush=True)
"""


@pytest.mark.parametrize("victim", ["server", "writer"])
def test_killed_while_writing(tmp_path: Path, victim: str) -> None:
    data_dir = tmp_path / "postgres"
    with embedded_postgres(data_dir) as conninfo:
        migrate(conninfo)
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITE_FOREVER, conninfo],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert writer.stdout is not None
        while int(writer.stdout.readline()) < 5:
            pass
        if victim == "server":
            os.kill(int((data_dir / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
            time.sleep(0.5)
        writer.kill()
        writer.communicate()
    with (
        embedded_postgres(data_dir) as conninfo,
        open_pool(conninfo, min_size=1, max_size=1) as pool,
    ):
        store = PgStore(pool)
        for summary in store.list_documents(collection=None, limit=9, after=None):
            _, chunks = store.get_document(summary.document_id)
            assert len(chunks) == summary.chunk_count == 20
            assert len({chunk.content for chunk in chunks}) == 1
        assert store.counts() == {"collections": 1, "documents": 3, "chunks": 60}
        assert one(pool, "select count(*) from chunk_lexemes") == 60


def test_a_disk_that_fills_up_while_writing(small_disk: Path, embedded: MakeDocument) -> None:
    ballast = small_disk / "ballast"
    with (
        embedded_postgres(small_disk / "postgres") as conninfo,
        open_pool(conninfo, min_size=1, max_size=1) as pool,
    ):
        migrate(conninfo)
        store = PgStore(pool)
        collection = store.ensure_collection("manuals")
        free = os.statvfs(small_disk)
        ballast.write_bytes(bytes(max(0, free.f_bavail * free.f_frsize - (4 << 20))))
        written = 0
        with pytest.raises(StoreUnavailable):
            while written < 400:
                batch = [embedded(f"{written}-{n}.md", ("text " * 200,) * 5) for n in range(20)]
                store.replace_documents(collection, batch)
                written += 1
        ballast.unlink()
        deadline = time.monotonic() + 30
        while True:
            try:
                counts = store.counts()
                break
            except StoreUnavailable:
                assert time.monotonic() < deadline, "the store did not come back"
                time.sleep(0.2)
        assert counts["documents"] * 5 == counts["chunks"]
        # What was acknowledged is there; the batch that failed is there whole or not at all.
        assert counts["documents"] in (20 * written, 20 * (written + 1))
