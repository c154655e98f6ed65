"""What a search reads has a version: every change of it gives another, and nothing else does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString
from uuid import uuid4

import numpy as np
import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from model_pipeline.domain import Caller, Chunk, Document
from model_pipeline.errors import EmbedderMismatch
from model_pipeline.store import dump
from model_pipeline.store.caller import BECOME, to_settings
from model_pipeline.store.connect import connection_arguments, open_async_pool, open_pool
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.retrieval import PgRetriever
from model_pipeline.store.rows import EmbeddedDocument
from tests.conftest import NewDatabase

VECTOR = np.eye(1, 384, dtype=np.float32)
EMBEDDER = "test"
READER = Caller("authenticated", {"sub": str(uuid4()), "role": "authenticated"})
OTHER = Caller("authenticated", {"sub": str(uuid4()), "role": "authenticated"})


def document(source: str, text: str) -> EmbeddedDocument:
    made = Document(source, "Title", text, {"lang": "en"})
    return EmbeddedDocument(made, "h", "o", [Chunk(0, 0, len(text), text)], VECTOR)


def put(database: str, collection: str, *texts: str) -> None:
    with open_pool(database, min_size=1, max_size=1) as pool:
        store = PgStore(pool)
        store.register_embedder(EMBEDDER, 384)
        batch = [document(f"{n}.md", text) for n, text in enumerate(texts)]
        store.replace_documents(store.ensure_collection(collection), batch)


@pytest.fixture
def filled(database: str) -> str:
    put(database, "tea", "The kettle boils.", "The cup is blue.")
    put(database, "tents", "The tent is red.")
    with psycopg.connect(database) as connection:
        connection.execute(
            "update collections set owner_id = %s where name = 'tea'", (READER.claims["sub"],)
        )
    return database


def scope(database: str, collection: str | None = None, caller: Caller | None = None) -> str | None:
    async def run() -> str | None:
        async with open_async_pool(database, min_size=1, max_size=1) as pool:
            return await PgRetriever(pool, caller).scope(collection, EMBEDDER)

    return asyncio.run(run())


@contextmanager
def changing(database: str) -> Iterator[psycopg.Connection[Any]]:
    arguments = connection_arguments(database) | {"prepare_threshold": None}
    with psycopg.connect(database, **arguments) as connection:
        yield connection


REBUILD = Path("model_pipeline/store/sql/doctor/rebuild_statistics.sql").read_text()
CHANGES: dict[str, LiteralString] = {
    "a document goes": "delete from documents where source = '1.md'",
    "a chunk goes": "delete from chunks where content like '%%blue%%'",
    "a title": "update documents set title = 'Other' where source = '1.md'",
    "a source": "update documents set source = 'other.md' where source = '1.md'",
    "metadata": """update documents set metadata = '{"lang": "de"}' where source = '1.md'""",
    "a chunk's metadata": "update chunks set metadata = '{}' where content like '%%blue%%'",
    "a heading": "update chunks set heading_path = '{Other}' where content like '%%blue%%'",
    "a place": "update chunks set start_at = 7 where content like '%%blue%%'",
    "a vector": "update chunks set embedding = (select array_agg(1)::halfvec "
    "from generate_series(1, 384)) where content like '%%blue%%'",
    "a new text by the Data API": "update documents set content = 'New.', content_hash = '' "
    "where source = '1.md'",
}
SAME: dict[str, LiteralString] = {
    "nothing": "update documents set title = title",
    "when it was seen last": "update documents set updated_at = now(), origin = 'elsewhere'",
    "a document that is not indexed yet": "insert into documents (collection_id, source, content) "
    "select collection_id, 'new.md', 'New.' from collections where name = 'tea'",
    "a collection's name": "update collections set name = 'drinks' where name = 'tea'",
    "another collection": "delete from documents where collection_id = "
    "(select collection_id from collections where name = 'tents')",
    "a vector of the next embedder": "alter table chunks add embedding_standby halfvec(384); "
    "update chunks set embedding_standby = embedding",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_gives_another_version_when_it_is_committed(
    filled: str, change: LiteralString
) -> None:
    before = scope(filled, "tea", READER)
    others = scope(filled, "tents")
    assert before is not None
    with changing(filled) as connection, connection.transaction(force_rollback=True):
        assert connection.execute(change).rowcount != 0
        assert scope(filled, "tea", READER) == before
    assert scope(filled, "tea", READER) == before
    with changing(filled) as connection:
        connection.execute(change)
    assert scope(filled, "tea", READER) != before
    assert scope(filled, "tents") == others


def test_emptying_the_table_changes_all(filled: str) -> None:
    before = {name: scope(filled, name) for name in ("tea", "tents")}
    with changing(filled) as connection:
        connection.execute("truncate chunks")
    assert all(scope(filled, name) != one for name, one in before.items())


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_what_no_search_shows_leaves_the_version(filled: str, change: LiteralString) -> None:
    before = scope(filled, None, READER)
    with changing(filled) as connection:
        connection.execute(change)
    assert scope(filled, None, READER) == before is not None


def test_an_ingest_and_counting_anew_change_it(filled: str) -> None:
    seen = {scope(filled, "tea")}
    put(filled, "tea", "The kettle boils.", "The cup is green.")
    seen.add(scope(filled, "tea"))
    put(filled, "tea", "The kettle boils.", "The cup is blue.", "The spoon is new.")
    seen.add(scope(filled, "tea"))
    with changing(filled) as connection, connection.transaction():
        connection.execute(REBUILD.encode())
    seen.add(scope(filled, "tea"))
    assert len(seen) == 4


def test_after_a_swap_of_columns_the_active_vectors_count(filled: str) -> None:
    """The trigger has seen the old names before: it must go by the new ones."""
    with changing(filled) as connection:
        connection.execute("alter table chunks add embedding_standby halfvec(384)")
        connection.execute("update chunks set embedding_standby = embedding")
        first = scope(filled, "tea")
        connection.execute("alter table chunks rename embedding to embedding_other")
        connection.execute("alter table chunks rename embedding_standby to embedding")
        connection.execute("alter table chunks rename embedding_other to embedding_standby")
        ones = "(select array_agg(1)::halfvec from generate_series(1, 384))"
        connection.execute(f"update chunks set embedding_standby = {ones}".encode())
        assert scope(filled, "tea") == first
        connection.execute(f"update chunks set embedding = {ones}".encode())
        assert scope(filled, "tea") != first


def test_whoever_reads_the_same_has_the_same(filled: str) -> None:
    everything = scope(filled)
    assert scope(filled, "tea", READER) == scope(filled, None, READER) == scope(filled, "tea")
    assert scope(filled, "tea", READER) != everything
    assert scope(filled, None, OTHER) is None and scope(filled, None, Caller()) is None
    assert scope(filled, "tents", READER) is None and scope(filled, "nowhere", READER) is None
    with changing(filled) as connection:
        connection.execute(
            "insert into members (collection_id, user_id) "
            "select collection_id, %s from collections",
            (OTHER.claims["sub"],),
        )
        assert scope(filled, None, OTHER) == everything
        connection.execute("delete from members")
        assert scope(filled, None, OTHER) is None
        connection.execute("update collections set visibility = 'public' where name = 'tea'")
    assert scope(filled, None, OTHER) == scope(filled, None, Caller()) == scope(filled, "tea")


def test_another_embedder_is_refused_and_has_another(filled: str) -> None:
    before = scope(filled)
    with changing(filled) as connection:
        connection.execute("update embedder set name = 'next'")
    for caller in (None, READER, Caller()):
        with pytest.raises(EmbedderMismatch):
            scope(filled, None, caller)
    with changing(filled) as connection:
        row = connection.execute("select scope_version(null, 'next')").fetchone()
    assert row and row[0] != before


@pytest.mark.parametrize("caller", [None, READER, Caller()], ids=["owner", "reader", "anon"])
def test_a_search_says_what_it_read(filled: str, caller: Caller | None) -> None:
    async def run(tell: bool) -> str | None:
        async with open_async_pool(filled, min_size=1, max_size=1) as pool:
            store = PgRetriever(pool, caller, tell_scope=tell)
            found = await store.search(
                text="kettle", vector=VECTOR[0], k=3, mode="hybrid", collection=None, filter=None,
                embedder=EMBEDDER,
            )  # fmt: skip
            return found.scope

    assert asyncio.run(run(True)) == scope(filled, None, caller)
    assert asyncio.run(run(False)) is None


def test_a_restored_store_has_versions_of_its_own(
    filled: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    dump.dump(filled, tmp_path / "store")
    with new_database() as other:
        dump.restore(other, tmp_path / "store")
        assert scope(other, "tea") not in (None, scope(filled, "tea"))


def test_nobody_sets_a_version(filled: str) -> None:
    for statement in (
        "update collection_statistics set version = gen_random_uuid()",
        "select renew_versions(array(select collection_id from collections))",
    ):
        with changing(filled) as connection, connection.transaction(force_rollback=True):
            connection.execute(BECOME, to_settings(READER))
            with pytest.raises(InsufficientPrivilege):
                connection.execute(statement.encode())


def test_an_editor_who_changes_a_row_renews_it(filled: str) -> None:
    """By the Data API, with an editor's own rights alone."""
    before = scope(filled, "tea", READER)
    with changing(filled) as connection, connection.transaction():
        connection.execute(BECOME, to_settings(READER))
        connection.execute("update documents set title = 'Mine' where source = '0.md'")
    assert scope(filled, "tea", READER) != before
