"""Collections and members as the database's own user: without accounts. (As people: the matrix.)"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from model_pipeline.errors import Conflict, Forbidden, InvalidInput, NotFound
from model_pipeline.store.collections import PgCollections
from model_pipeline.store.keys import PgKeys
from model_pipeline.store.pg_store import PgStore

Pool = ConnectionPool[psycopg.Connection[Any]]


@pytest.fixture
def collections(pool: Pool) -> PgCollections:
    return PgCollections(pool)


def test_from_making_to_deleting(collections: PgCollections, store: PgStore, embedded: Any) -> None:
    made = collections.create("handbook", "private")
    assert (made.role, store.ensure_collection("handbook")) == ("owner", made.collection_id)
    changed = collections.change(made.collection_id, name="manual", visibility="public")
    assert [changed] == collections.visible()
    assert (changed.name, changed.visibility, changed.role) == ("manual", "public", "owner")
    assert collections.change(made.collection_id, name=None, visibility="private").name == "manual"
    store.register_embedder("test", 384)
    store.replace_documents(made.collection_id, [embedded()])
    collections.delete(made.collection_id)
    assert store.counts() == {"collections": 0, "documents": 0, "chunks": 0}


def test_what_cannot_be_done(collections: PgCollections) -> None:
    made = collections.create("one", "private")
    other = collections.create("two", "private")
    with pytest.raises(Conflict, match="'two' already"):
        collections.create("two", "public")
    with pytest.raises(Conflict, match="'one' already"):
        collections.change(other.collection_id, name="one", visibility=None)
    for name in ("", " ", "x" * 201, "a\0b"):
        with pytest.raises(InvalidInput):
            collections.change(made.collection_id, name=name, visibility=None)
    nowhere = uuid4()
    for act in (
        lambda: collections.change(nowhere, name="x", visibility=None),
        lambda: collections.delete(nowhere),
        lambda: collections.members(nowhere),
        lambda: collections.set_member(nowhere, uuid4(), "reader"),
        lambda: collections.remove_member(made.collection_id, nowhere),
    ):
        with pytest.raises(NotFound, match=str(nowhere)):
            act()


def test_members(collections: PgCollections, pool: Pool) -> None:
    which = collections.create("one", "private").collection_id
    person, owner = uuid4(), uuid4()
    assert collections.members(which) == []
    assert collections.set_member(which, person, "reader").role == "reader"
    assert collections.set_member(which, person, "owner").role == "owner"
    with pool.connection() as connection:
        connection.execute("update collections set owner_id = %s", (owner,))
        # Whatever stands in the table: who owns it owns it.
        connection.execute("insert into members values (%s, %s, 'reader')", (which, owner))
    listed = [(one.user_id, one.role) for one in collections.members(which)]
    assert listed == [(owner, "owner"), (person, "owner")]
    with pytest.raises(Conflict, match="stays its owner"):
        collections.set_member(which, owner, "reader")
    with pytest.raises(Conflict, match="stays its owner"):
        collections.remove_member(which, owner)
    collections.remove_member(which, person)
    assert len(collections.members(which)) == 1


def test_a_key_is_a_member_and_no_owner(collections: PgCollections, pool: Pool) -> None:
    which = collections.create("one", "private").collection_id
    key, _ = PgKeys(pool).create("nightly", {"one": "reader"}, lifetime=timedelta(days=1))
    assert collections.set_member(which, key.key_id, "editor").role == "editor"
    with pytest.raises(Forbidden, match="A service key owns no collection"):
        collections.set_member(which, key.key_id, "owner")
    found: list[UUID] = [one.user_id for one in collections.members(which)]
    assert found == [key.key_id]
