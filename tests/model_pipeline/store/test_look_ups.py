"""Statements of the caller's own, as the Data API lets anybody write them: what is hidden answers
them as what is not there, and the database does the same for both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from model_pipeline.domain import Caller
from model_pipeline.store.caller import BECOME, to_settings
from model_pipeline.store.connect import open_pool
from tests.conftest import NewDatabase

Pool = ConnectionPool[psycopg.Connection[Any]]
ME, OTHER = uuid4(), uuid4()
CALLERS = {
    "stranger": Caller("authenticated", {"sub": str(ME), "role": "authenticated"}),
    "anonymous": Caller(),
}
# A small table is read whole; only in a large one are rows looked up.
FILL: LiteralString = """
insert into collections (name, owner_id) values ('mine', %(me)s), ('theirs', %(other)s);
insert into collections (name, owner_id) select 'more ' || n, gen_random_uuid()
from generate_series(1, 2000) as n;
insert into members (collection_id, user_id, role)
select collection_id, gen_random_uuid(), 'reader' from collections;
insert into documents (collection_id, source, content_hash)
select c.collection_id, c.name || n, 'h'
from collections as c, generate_series(1, 1500) as n where c.name in ('mine', 'theirs');
insert into chunks (collection_id, document_id, ordinal, start_at, content, embedding)
select collection_id, document_id, 0, 0, 'The kettle.', array_fill(0.05::real, array[384])::halfvec
from documents;
insert into sources (collection_id, kind, settings)
select c.collection_id, 'web', jsonb_build_object('urls', array['https://' || n || '.example/'])
from collections as c, generate_series(1, 500) as n where c.name in ('mine', 'theirs');
insert into answers (user_id, question, answer, release_id)
select u, 'q', 'a', 'r' from unnest(array[%(me)s, %(other)s]::uuid[]) as u, generate_series(1, 500);
"""


@pytest.fixture(scope="module")
def pool(new_database: NewDatabase) -> Iterator[Pool]:
    with new_database() as database, open_pool(database, min_size=1, max_size=1) as pool:
        with pool.connection() as connection:
            psycopg.ClientCursor(connection).execute(FILL, {"me": ME, "other": OTHER})
            connection.execute("analyze")
        yield pool


def ids(pool: Pool, whose: UUID) -> dict[str, Any]:
    """One of each that is `whose`."""
    with pool.connection() as connection:
        row = connection.execute(
            "select c.collection_id as collection, d.document_id as document, d.source, "
            "k.chunk_id as chunk, s.source_id as source_id, j.job_id as job, "
            "(select answer_id from answers where user_id = %(whose)s limit 1) as answer, c.name "
            "from collections as c join documents as d using (collection_id) "
            "join chunks as k using (document_id) "
            "join sources as s on s.collection_id = c.collection_id "
            "join jobs as j using (source_id) where c.owner_id = %(whose)s limit 1",
            {"whose": whose},
        )
        names = [column.name for column in row.description or ()]
        found = row.fetchone()
    assert found is not None
    return dict(zip(names, found, strict=True))


def absent() -> dict[str, Any]:
    uuids = {name: uuid4() for name in ("collection", "document", "chunk", "source_id", "answer")}
    return uuids | {"job": 10**12, "source": "nowhere", "name": "nothing"}


TRIED: dict[str, LiteralString] = {
    "a document of that id": "insert into documents (document_id, collection_id, source) "
    "values (%(document)s, %(my_collection)s, 'new')",
    "a document in place of that": "insert into documents (document_id, collection_id, source) "
    "values (%(document)s, %(my_collection)s, 'new') "
    "on conflict (document_id, collection_id) do nothing",
    "one's document made that": "update documents set document_id = %(document)s "
    "where document_id = %(my_document)s",
    "one's document moved there": "update documents set collection_id = %(collection)s "
    "where document_id = %(my_document)s",
    "a chunk of that id": "insert into chunks (chunk_id, collection_id, document_id, ordinal, "
    "start_at, content, embedding) select %(chunk)s, collection_id, document_id, 9, 0, 'x', "
    "embedding from chunks where chunk_id = %(my_chunk)s",
    "a chunk of that document": "insert into chunks (collection_id, document_id, ordinal, "
    "start_at, content, embedding) select collection_id, %(document)s, 0, 0, 'x', embedding "
    "from chunks where chunk_id = %(my_chunk)s",
    "one's chunk moved there": "update chunks set document_id = %(document)s "
    "where chunk_id = %(my_chunk)s",
    "a collection of that id": "insert into collections (collection_id, name, owner_id) "
    "values (%(collection)s, 'new', %(me)s)",
    "joining that collection": "insert into members (collection_id, user_id) "
    "values (%(collection)s, %(me)s)",
    "a document in that collection": "insert into documents (collection_id, source) "
    "values (%(collection)s, %(source)s)",
    "a source in that collection": "insert into sources (collection_id, kind, settings) "
    """values (%(collection)s, 'web', '{"urls": ["https://1.example/"]}')""",
    "an answer of that id": "insert into answers (answer_id, user_id, question, answer, "
    "release_id) values (%(answer)s, %(me)s, 'q', 'a', 'r')",
    "feedback on that answer": "insert into feedback (answer_id, user_id, rating) "
    "values (%(answer)s, %(me)s, 'up')",
}


@pytest.mark.parametrize("tried", TRIED)
def test_an_attempt_fails_alike(pool: Pool, tried: str) -> None:
    mine = {f"my_{name}": value for name, value in ids(pool, ME).items()}

    def attempt(known: dict[str, Any]) -> tuple[str | None, str]:
        arguments = mine | known | {"me": ME}
        with (
            pool.connection() as connection,
            pytest.raises(psycopg.Error) as raised,
            connection.transaction(force_rollback=True),
        ):
            connection.execute(BECOME, to_settings(CALLERS["stranger"]))
            connection.execute(TRIED[tried], arguments)
        said = f"{raised.value.diag.message_primary} {raised.value.diag.message_detail}"
        for value in arguments.values():
            said = said.replace(str(value), "...")
        return raised.value.sqlstate, said

    assert attempt(ids(pool, OTHER)) == attempt(absent())


LOOKED_UP: dict[str, LiteralString] = {
    "document": "select * from documents where document_id = %(document)s",
    "documents of that name": "select * from documents where source = %(source)s",
    "documents there": "select * from documents where collection_id = %(collection)s",
    "document removed": "delete from documents where document_id = %(document)s",
    "document changed": "update documents set title = 'x' where document_id = %(document)s",
    "chunk": "select * from chunks where chunk_id = %(chunk)s",
    "chunks of that document": "select * from chunks where document_id = %(document)s",
    "collection": "select * from collections where collection_id = %(collection)s",
    "collection of that name": "select * from collections where name = %(name)s",
    "source": "select * from sources where source_id = %(source_id)s",
    "job": "select * from jobs where job_id = %(job)s",
    "members": "select * from members where collection_id = %(collection)s",
}

NOT_FOR_ANONYMOUS = {"source", "job", "members", "document removed", "document changed"}


def plans(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for inner in node.get("Plans", ()):
        yield from plans(inner)


def work(pool: Pool, who: str, looked_up: str, known: dict[str, Any]) -> tuple[list[str], int]:
    """What the subqueries computed that a look-up which finds nothing ran, and the blocks read."""
    explained = "explain (analyze, verbose, buffers, timing off, format json) "
    with pool.connection() as connection, connection.transaction(force_rollback=True):
        connection.execute(BECOME, to_settings(CALLERS[who]))
        for _ in range(2):  # the first warms the caches
            row = connection.execute((explained + LOOKED_UP[looked_up]).encode(), known).fetchone()
    assert row is not None
    plan = row[0][0]["Plan"]
    assert plan["Actual Rows"] == 0
    ran = [
        str(one.get("Output"))
        for one in plans(plan)
        if one.get("Parent Relationship") == "InitPlan" and one["Actual Loops"]
    ]
    return ran, plan["Shared Hit Blocks"]


@pytest.mark.parametrize("looked_up", LOOKED_UP)
@pytest.mark.parametrize("who", CALLERS)
def test_a_look_up_takes_the_same_work(pool: Pool, who: str, looked_up: str) -> None:
    if who == "anonymous" and looked_up in NOT_FOR_ANONYMOUS:
        pytest.skip("the anonymous have no right to the table at all")
    there, nowhere = (work(pool, who, looked_up, known) for known in (ids(pool, OTHER), absent()))
    if looked_up.startswith("collection"):
        # No index serves there: what is hidden costs a look at one's memberships, and no more.
        assert not [one for one in there[0] if "my_collections" in one]
        assert abs(there[1] - nowhere[1]) <= 4
        return
    assert there[0] == nowhere[0]
    assert abs(there[1] - nowhere[1]) <= 2
