"""Row-level security: who sees and changes what, through tables and through search."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from model_pipeline.domain import Caller, Chunk, Document, SearchMode
from model_pipeline.errors import NotFound
from model_pipeline.store.caller import BECOME, to_settings
from model_pipeline.store.connect import connection_arguments, open_async_pool, open_pool
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.retrieval import PgRetriever
from model_pipeline.store.rows import EmbeddedDocument

PEOPLE = {name: uuid4() for name in ("owner", "editor", "reader", "stranger")}
# What each sees: `team` is shared with an editor and a reader, `notes` is the stranger's own.
SEES = {
    None: {"team", "open", "notes"},  # the tables' owner: local mode
    "owner": {"team", "open"},
    "editor": {"team", "open"},
    "reader": {"team", "open"},
    "stranger": {"open", "notes"},
    "anon": {"open"},
}
TABLES = ("documents", "chunks", "chunk_lexemes", "collection_statistics", "lexeme_statistics")


def caller(name: str | None) -> Caller | None:
    if name is None:
        return None
    if name == "anon":
        return Caller()
    return Caller("authenticated", {"sub": str(PEOPLE[name]), "role": "authenticated"})


@contextmanager
def connected(database: str, name: str | None) -> Iterator[psycopg.Connection[Any]]:
    """A connection as somebody; whatever they did is undone."""
    with (
        psycopg.connect(database, **connection_arguments(database)) as connection,
        connection.transaction(force_rollback=True),
    ):
        who = caller(name)
        if who is not None:
            connection.execute(BECOME, to_settings(who))
        yield connection


@pytest.fixture(scope="module")
def filled(module_database: str) -> str:
    """Three collections of twenty chunks: each has "kettle" in all, and its own name in one."""
    with open_pool(module_database, min_size=1, max_size=1) as pool:
        store = PgStore(pool)
        store.register_embedder("test", 384)
        ids = {name: store.ensure_collection(name) for name in ("team", "open", "notes")}
        for name, collection in ids.items():
            texts = [f"kettle number {n} {name if n == 0 else ''}" for n in range(20)]
            store.replace_documents(collection, [document(name, n, t) for n, t in enumerate(texts)])
    with psycopg.connect(module_database) as connection:
        connection.execute("update collections set owner_id = %s", (PEOPLE["owner"],))
        connection.execute(
            "update collections set owner_id = %s where name = 'notes'", (PEOPLE["stranger"],)
        )
        connection.execute("update collections set visibility = 'public' where name = 'open'")
        for role in ("editor", "reader"):
            connection.execute(
                "insert into members (collection_id, user_id, role) values (%s, %s, %s)",
                (ids["team"], PEOPLE[role], role),
            )
    return module_database


def document(collection: str, number: int, text: str) -> EmbeddedDocument:
    vector = np.random.default_rng(number).normal(size=(1, 384)).astype(np.float32)
    return EmbeddedDocument(
        Document(f"{collection}/{number}", "", text, {"half": number % 2}),
        "h",
        "o",
        [Chunk(0, 0, len(text), text)],
        vector / np.linalg.norm(vector),
    )


def search(
    database: str,
    name: str | None,
    text: str = "kettle",
    *,
    mode: SearchMode = "hybrid",
    collection: str | None = None,
    filter: dict[str, Any] | None = None,
) -> list[tuple[str, float]]:
    async def run() -> list[tuple[str, float]]:
        async with open_async_pool(database, min_size=1, max_size=1) as pool:
            result = await PgRetriever(pool, caller(name)).search(
                text=text, vector=document("", 3, "x").vectors[0], k=100, mode=mode,
                collection=collection, filter=filter,
            )  # fmt: skip
            # The connection is its own again: nothing of the caller stays on it.
            async with pool.connection() as connection:
                row = await (await connection.execute("select current_user")).fetchone()
                assert row == ("postgres",)
        return [(one.source, one.score) for one in result.passages]

    return asyncio.run(run())


@pytest.mark.parametrize("name", SEES)
@pytest.mark.parametrize("table", TABLES)
def test_rows_seen(filled: str, name: str | None, table: str) -> None:
    with connected(filled, None) as connection:
        names = dict(connection.execute("select collection_id, name from collections").fetchall())
    with connected(filled, name) as connection:
        rows = connection.execute(f"select distinct collection_id from {table}")
        assert {names[one] for (one,) in rows} == SEES[name]
        rows = connection.execute("select name from collections")
        assert {one for (one,) in rows} == SEES[name]


@pytest.mark.parametrize("name", SEES)
@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
@pytest.mark.parametrize("filter", [None, {"half": 1}])
def test_passages_found(
    filled: str, name: str | None, mode: SearchMode, filter: dict[str, Any] | None
) -> None:
    found = search(filled, name, mode=mode, filter=filter)
    each = 20 if filter is None else 10
    assert len(found) == each * len(SEES[name])
    assert {source.split("/")[0] for source, _ in found} == SEES[name]


@pytest.mark.parametrize("name", SEES)
def test_a_collection_that_one_may_not_see_is_not_there(filled: str, name: str | None) -> None:
    for collection in ("team", "open", "notes", "nowhere"):
        if collection in SEES[name]:
            assert len(search(filled, name, collection=collection)) == 20
        else:
            with pytest.raises(NotFound, match=f"no collection '{collection}'"):
                search(filled, name, collection=collection)


def test_scores_tell_nothing_of_other_collections(filled: str) -> None:
    """BM25's idf counts the visible chunks alone: `notes` is in one of a stranger's 40 chunks."""
    before = search(filled, "stranger", "kettle notes", mode="lexical")
    with open_pool(filled, min_size=1, max_size=1) as pool:
        store = PgStore(pool)
        with psycopg.connect(filled) as connection:
            row = connection.execute(
                "select collection_id from collections where name = 'team'"
            ).fetchone()
        assert row is not None
        store.replace_documents(row[0], [document("team", 99, "notes notes notes kettle")])
        assert search(filled, "owner", "kettle notes", mode="lexical")[0][0] == "team/99"
        assert search(filled, "stranger", "kettle notes", mode="lexical") == before
        store.remove_sources(row[0], ["team/99"])


@pytest.mark.parametrize("arm", ["dense", "lexical", "filtered"])
def test_an_arm_asked_alone_refuses_foreign_collections(filled: str, arm: str) -> None:
    calls = {
        "dense": "dense_candidates(array_fill(0.05::real, array[384])::halfvec, %s, false, 20, "
        "null, null, 10, 4000)",
        "lexical": "lexical_candidates('kettle', %s, false, 20, 60, null, null, 10, 4000)",
        "filtered": "filtered_chunks('$.half == 1', %s, false, 20, 4000)",
    }
    with connected(filled, None) as connection:
        team = connection.execute("select collection_id from collections where name = 'team'")
        scope = [one for (one,) in team]
    with connected(filled, "reader") as connection:
        assert connection.execute(f"select * from {calls[arm]}", (scope,)).fetchone()
    for name in ("stranger", "anon"):
        with (
            connected(filled, name) as connection,
            pytest.raises(InsufficientPrivilege, match="not yours to read"),
        ):
            connection.execute(f"select * from {calls[arm]}", (scope,))


@pytest.mark.parametrize("arm", ["dense", "lexical", "filtered"])
@pytest.mark.parametrize("scope", ["my_collections('reader')", "null"])
def test_everything_is_for_those_whom_no_policy_binds(filled: str, arm: str, scope: str) -> None:
    """Whatever scope is named beside it."""
    calls = {
        "dense": "dense_candidates(array_fill(0.05::real, array[384])::halfvec, {}, true, 5000, "
        "null, null, 10, 4000)",
        "lexical": "lexical_candidates('kettle', {}, true, 5000, 9000, null, null, 10, 4000)",
        "filtered": "filtered_chunks('$.half == 1', {}, true, 5000, 4000)",
    }
    call = f"select * from {calls[arm].format(scope)}"
    for name in ("stranger", "anon"):
        with (
            connected(filled, name) as connection,
            pytest.raises(InsufficientPrivilege, match="not yours to read"),
        ):
            connection.execute(call)  # type: ignore[arg-type]


@pytest.mark.parametrize("arm", ["dense", "lexical"])
def test_chunks_named_to_an_arm_must_be_of_the_scope(filled: str, arm: str) -> None:
    calls = {
        "dense": "dense_candidates(array_fill(0.05::real, array[384])::halfvec, "
        "my_collections('reader'), false, 20, null, %s, 10, 4000)",
        "lexical": "lexical_candidates('kettle', my_collections('reader'), false, 20, 60, null, "
        "%s, 10, 4000)",
    }
    with connected(filled, None) as connection:
        rows = connection.execute(
            "select chunk_id from chunks join collections using (collection_id) where name = 'team'"
        )
        named = [one for (one,) in rows]
    for name, found in (("reader", 10), ("stranger", 0), ("anon", 0)):
        with connected(filled, name) as connection:
            row = connection.execute(
                f"select coalesce(cardinality(chunk_ids), 0) from {calls[arm]}",  # type: ignore[arg-type]
                (named,),
            ).fetchone()
            assert row == (found,), name


def test_the_index_over_all_words_serves_who_reads_everything(filled: str) -> None:
    """In a small collection it would tell others, by the time taken, of words in hidden ones."""
    for name, scans in ((None, 1), ("reader", 0), ("stranger", 0), ("anon", 0)):
        with connected(filled, name) as connection:
            found = connection.execute(
                "select chunk_id from search_chunks('open', null, mode => 'lexical', "
                "collection => 'open')"
            ).fetchall()
            row = connection.execute(
                "select pg_stat_get_xact_numscans('public.chunk_lexemes_lexemes'::regclass)"
            ).fetchone()
        assert len(found) == 1
        assert row == (scans,), name


WRITES = {
    "rename": "update collections set name = 'x' where name = 'team'",
    "retitle": "update documents set title = 'x' where source = 'team/1'",
    "delete": "delete from documents where source = 'team/1'",
    "invite": "insert into members select collection_id, %(other)s, 'reader' from collections "
    "where name = 'team'",
}
MAY = {"owner": set(WRITES), "editor": {"retitle", "delete"}}


@pytest.mark.parametrize("name", ["owner", "editor", "reader", "stranger", "anon"])
@pytest.mark.parametrize("write", WRITES)
def test_writes(filled: str, name: str, write: str) -> None:
    with connected(filled, name) as connection:
        try:
            changed = connection.execute(WRITES[write], {"other": uuid4()}).rowcount  # type: ignore[arg-type]
        except InsufficientPrivilege:
            changed = 0
    assert changed == (1 if write in MAY.get(name, ()) else 0)


@pytest.mark.parametrize("table", ["chunk_lexemes", "collection_statistics", "lexeme_statistics"])
def test_nobody_writes_statistics(filled: str, table: str) -> None:
    with connected(filled, "owner") as connection, pytest.raises(InsufficientPrivilege):
        connection.execute(f"delete from {table}")


def test_a_person_makes_fills_and_shares_a_collection(filled: str) -> None:
    """As the HTTPS door does it; the statistics follow though nobody may write them."""
    with connected(filled, "stranger") as connection:
        made = connection.execute(
            "insert into collections (name) values ('team') returning collection_id, owner_id"
        ).fetchone()
        assert made is not None and made[1] == PEOPLE["stranger"]
        parent = connection.execute(
            "insert into documents (collection_id, source, content_hash) values (%s, 's', 'h') "
            "returning document_id",
            (made[0],),
        ).fetchone()
        assert parent is not None
        insert_chunk(connection, made[0], parent[0])
        counted = connection.execute(
            "select chunk_count from collection_statistics where collection_id = %s", (made[0],)
        ).fetchone()
        assert counted == (1,)


def test_a_chunk_is_of_its_documents_collection(filled: str) -> None:
    with connected(filled, "editor") as connection:
        foreign = uuid4()
        row = connection.execute(
            "select collection_id from collections where name = 'team'"
        ).fetchone()
        assert row is not None
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            insert_chunk(connection, row[0], foreign)


def test_owning_is_not_taken(filled: str) -> None:
    with connected(filled, "stranger") as connection:
        with pytest.raises(InsufficientPrivilege), connection.transaction():
            connection.execute(
                "insert into collections (name, owner_id) values ('x', %s)", (PEOPLE["owner"],)
            )
        with pytest.raises(InsufficientPrivilege), connection.transaction():
            connection.execute(
                "insert into members select collection_id, %s, 'owner' from collections",
                (PEOPLE["stranger"],),
            )


def insert_chunk(connection: psycopg.Connection[Any], collection: UUID, document: UUID) -> None:
    connection.execute(
        "insert into chunks (collection_id, document_id, ordinal, start_at, content, embedding) "
        "values (%s, %s, 0, 0, 'tea', array_fill(0.05::real, array[384])::halfvec)",
        (collection, document),
    )
