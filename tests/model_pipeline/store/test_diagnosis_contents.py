"""The checks of what is stored: broken for real, named, mended where that is safe, well again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from psycopg.conninfo import conninfo_to_dict

from model_pipeline.store.connect import open_pool
from model_pipeline.store.diagnosis import contents, server
from model_pipeline.store.diagnosis.verdict import Subject
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.rows import EmbeddedDocument
from tests.model_pipeline.store.diagnosing import EMBEDDER, execute, mend_and_see, rows, unwell

MakeDocument = Callable[..., EmbeddedDocument]
REPLICA = "set session_replication_role = replica"  # triggers and foreign keys rest


def test_orphan_lexemes_and_chunks_without(sound: str) -> None:
    statistics = "select * from lexeme_statistics order by 1, 2"
    before = rows(sound, statistics)
    execute(
        sound,
        REPLICA,
        "delete from chunk_lexemes where chunk_id = (select min(chunk_id::text)::uuid from chunks)",
        "insert into chunk_lexemes select gen_random_uuid(), collection_id, lexemes, length "
        "from chunk_lexemes limit 2",
    )
    found = unwell(sound)
    assert [*found] == ["orphans", "statistics"]
    assert "2 rows of chunk_lexemes without a chunk and 1 chunk that" in found["orphans"].detail
    mended = unwell(sound, fix=True)
    # The statistics never counted the orphans: without them they are right again.
    assert [(one.name, one.state) for one in mended.values()] == [("orphans", "ok")]
    assert unwell(sound) == {}
    assert rows(sound, statistics) == before


def test_chunks_without_a_document_are_told_and_left(sound: str) -> None:
    execute(sound, REPLICA, "delete from documents where source = 'notes.md'")
    found = unwell(sound, fix=True)["orphans"]
    assert (found.state, found.fixable) == ("error", False)
    assert "2 chunks without a document" in found.detail
    assert rows(sound, "select count(*) from chunks") == [(4,)]


def test_documents_without_some_chunks(sound: str) -> None:
    execute(sound, "delete from chunks where ordinal = 1")
    found = unwell(sound, fix=True)["orphans"]
    assert (found.state, found.fixable) == ("error", False)
    assert "2 documents without some of the chunks" in found.detail


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("delete from lexeme_statistics where lexeme = 'pear'", "0 collections and 2 lexemes"),
        ("update collection_statistics set total_length = 1", "2 collections and 0 lexemes"),
        ("delete from collection_statistics", "2 collections and 0 lexemes"),
        (
            "insert into lexeme_statistics select collection_id, 'ghost', 3 from collections",
            "0 collections and 2 lexemes",
        ),
        ("delete from chunks where ordinal = 0", "2 collections"),
    ],
)
def test_drifted_statistics(sound: str, damage: str, words: str) -> None:
    execute(sound, REPLICA, damage, "delete from chunk_lexemes where chunk_id not in "
            "(select chunk_id from chunks)",
            "update documents set chunk_count = (select count(*) from chunks "
            "where chunks.document_id = documents.document_id)")  # fmt: skip
    mended = mend_and_see(sound, "statistics", words)
    assert mended == "counted anew from chunk_lexemes"
    # As if the triggers had never been off: emptied by them, nothing is left.
    execute(sound, "delete from chunks")
    assert rows(sound, "select * from lexeme_statistics") == []
    assert rows(sound, "select distinct chunk_count, total_length from collection_statistics") == [
        (0, 0)
    ]


def test_statistics_are_mended_beside_writers(sound: str, embedded: MakeDocument) -> None:
    """Whoever writes meanwhile is counted once, and nobody fails."""
    stop = threading.Event()
    written = dict.fromkeys(("manuals", "notes", "passing"), 0)

    def write(collection: str) -> None:
        with open_pool(sound, min_size=1, max_size=1) as pool:
            store = PgStore(pool)
            store.register_embedder(*EMBEDDER)
            while not stop.is_set():
                collection_id = store.ensure_collection(collection)
                batch = [embedded(f"{n}.md", (f"Pears {written[collection]}. ",)) for n in range(5)]
                store.replace_documents(collection_id, batch)
                if collection == "passing":
                    with pool.connection() as connection:
                        connection.execute("delete from collections where name = 'passing'")
                written[collection] += 1

    connection = server.connect(sound)
    with connection, ThreadPoolExecutor(3) as threads:
        writers = [threads.submit(write, name) for name in written]
        subject = Subject(sound, connection, EMBEDDER, deep=True)
        try:
            rounds = 0
            while rounds < 15 or min(written.values()) < 4:
                assert not any(writer.done() for writer in writers), "one of them failed"
                rounds += 1
                contents.mend_orphans(subject)
                contents.mend_statistics(subject)
        finally:
            stop.set()
        for writer in writers:
            writer.result()
    assert "statistics" not in unwell(sound)
    assert "orphans" not in unwell(sound)


def test_a_large_store_is_read_whole_only_when_asked(sound: str) -> None:
    execute(sound, REPLICA, "delete from collection_statistics")
    connection = server.connect(sound)
    with connection:
        large = Subject(sound, connection, EMBEDDER, deep=False, small_bytes=0)
        for look in (contents.orphans, contents.statistics):
            verdict = look(large)
            assert verdict.state == "ok"
            assert "--deep" in verdict.detail
        deep = Subject(sound, connection, EMBEDDER, deep=True, small_bytes=0)
        assert contents.statistics(deep).state == "error"


def fill_with_small_vectors(conninfo: str, chunks: int) -> None:
    execute(
        conninfo,
        "drop index chunks_embedding",
        "alter table chunks alter column embedding type extensions.halfvec(3)",
        "insert into embedder (name, dimensions) values ('test', 3)",
        "insert into collections (name) values ('many')",
        "insert into documents (collection_id, source, content_hash, chunk_count) "
        f"select collection_id, 'many', '', {chunks} from collections",
        "insert into chunks (collection_id, document_id, ordinal, start_at, content, embedding) "
        "select collection_id, document_id, n, 0, 'x', "
        "array[random(), random(), random()]::extensions.halfvec "
        f"from documents, generate_series(1, {chunks}) as n",
    )


def test_the_planner_and_its_statistics(database: str) -> None:
    for table in ("chunks", "chunk_lexemes"):  # else it may be analyzed at any moment
        execute(database, f"alter table {table} set (autovacuum_enabled = off)")
    fill_with_small_vectors(database, 6000)
    found = unwell(database, embedder=("test", 3))
    assert [*found] == ["indexes", "planner statistics", "planner"]
    assert "are out of date" in found["planner statistics"].detail
    assert "without the index over vectors" in found["planner"].detail
    mended = unwell(database, embedder=("test", 3), fix=True)
    assert [(one.name, one.state) for one in mended.values()] == [
        ("indexes", "ok"),
        ("planner statistics", "ok"),
    ]
    assert mended["planner statistics"].mended == "analyzed chunk_lexemes, chunks"
    assert unwell(database, embedder=("test", 3)) == {}
    name = conninfo_to_dict(database)["dbname"]
    for setting in ("enable_indexscan = off", "random_page_cost = 10000"):
        execute(database, f"alter database {name} set {setting}")
    found = unwell(database, embedder=("test", 3), fix=True)
    assert [*found] == ["planner"]
    assert "enable_indexscan" in found["planner"].detail
    assert (found["planner"].state, found["planner"].fixable) == ("error", False)
