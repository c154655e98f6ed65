"""The HTTPS door as the people who signed up: the real client with each one's own token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
import pytest
from postgrest.exceptions import APIError

from model_pipeline.domain import Chunk, Document
from model_pipeline.errors import Forbidden, Unauthorized
from model_pipeline.load_data import Wanted, export
from model_pipeline.store.connect import open_pool
from model_pipeline.store.doors import SupabaseDoor
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.rows import EmbeddedDocument
from model_pipeline.store.supabase_api import open_client, translate_errors
from supabase import Client
from tests.conftest import NewDatabase
from tests.servers import supabase_lite
from tests.servers.supabase_lite import SupabaseServer

VECTOR = np.full((1, 384), 384**-0.5, np.float32)
PEOPLE = ("ada", "bob")
# What each finds of what says "kettle": their own, and what is public.
FINDS = {"ada": {"ada", "open"}, "bob": {"bob", "open"}, "anon": {"open"}}
CONTENT = ("collections", "documents", "chunks", "loadable_chunks", "collection_statistics")


@dataclass(frozen=True, slots=True)
class Project:
    server: SupabaseServer
    tokens: dict[str, str]
    ids: dict[str, UUID]


@pytest.fixture(scope="module")
def project(
    new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    """Ada and Bob have signed up, and each has a collection with one chunk; "open" is public."""
    if reason := supabase_lite.missing():
        pytest.skip(f"{reason}: sh tests/servers/install-node.sh supabase")
    with (
        new_database() as conninfo,
        supabase_lite.running(conninfo, tmp_path_factory.mktemp("users")) as server,
    ):
        signed_up = {name: server.sign_up(f"{name}@example.org") for name in PEOPLE}
        with open_pool(conninfo, min_size=1, max_size=1) as pool:
            store = PgStore(pool)
            store.register_embedder("test", 384)
            for name in (*PEOPLE, "open"):
                text = f"The kettle of {name}."
                store.replace_documents(
                    store.ensure_collection(name),
                    [
                        EmbeddedDocument(
                            Document(f"{name}.md", "", text),
                            name,
                            "",
                            [Chunk(0, 0, len(text), text)],
                            VECTOR,
                        )
                    ],
                )
        with psycopg.connect(conninfo) as connection:
            connection.execute("update collections set visibility = 'public' where name = 'open'")
            for name, (user, _) in signed_up.items():
                connection.execute(
                    "update collections set owner_id = %s where name = %s", (user, name)
                )
        yield Project(
            server,
            {name: token for name, (_, token) in signed_up.items()},
            {name: user for name, (user, _) in signed_up.items()},
        )


ClientOf = Callable[[str], Client]


@pytest.fixture
def client_of(project: Project) -> Iterator[ClientOf]:
    server = project.server
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(
            open_client(server.url, server.anon_key, project.tokens.get(name))
        )


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
@pytest.mark.parametrize("who", FINDS)
def test_a_search_finds_what_is_ones_own_or_public(
    client_of: ClientOf, who: str, mode: str
) -> None:
    vector = str(VECTOR[0].tolist())
    asked = {"query_text": "kettle", "query_embedding": vector, "k": 10, "mode": mode}
    rows: Any = client_of(who).rpc("search_chunks", asked).execute().data
    found = {row["source"].removesuffix(".md") for row in rows if row["chunk_id"]}
    assert found == FINDS[who]


@pytest.mark.parametrize("who", [*PEOPLE, "anon"])
def test_a_search_of_anothers_collection_by_name_finds_nothing(
    client_of: ClientOf, who: str
) -> None:
    vector = str(VECTOR[0].tolist())
    for collection in {"ada", "bob"} - {who}:
        asked = {"query_text": "kettle", "query_embedding": vector, "collection": collection}
        rows: Any = client_of(who).rpc("search_chunks", asked).execute().data
        assert not [row for row in rows if row["chunk_id"]]


@pytest.mark.parametrize("who", FINDS)
@pytest.mark.parametrize("table", CONTENT)
def test_a_table_shows_what_is_ones_own_or_public(
    project: Project, client_of: ClientOf, table: str, who: str
) -> None:
    rows: Any = client_of(who).table(table).select("*").execute().data
    assert len(rows) == len(FINDS[who])
    if table == "collections":
        assert {row["name"] for row in rows} == FINDS[who]


def test_nobody_writes_into_what_is_anothers(project: Project, client_of: ClientOf) -> None:
    ada, bob = client_of("ada"), client_of("bob")
    (collection,) = ada.table("collections").select("*").eq("name", "ada").execute().data
    document = {"collection_id": collection["collection_id"], "source": "x", "content_hash": "x"}
    for intruder in (bob, client_of("anon")):
        with pytest.raises(Forbidden, match="may not do this"), translate_errors():
            intruder.table("documents").insert(document).execute()
    changed = bob.table("collections").update({"name": "bob's"}).eq("name", "ada").execute().data
    assert changed == []
    assert len(ada.table("documents").insert(document).execute().data) == 1
    ada.table("documents").delete().eq("source", "x").execute()


def test_answers_and_feedback_are_their_authors(
    project: Project, client_of: ClientOf, tmp_path: Path
) -> None:
    ada, bob, anonymous = (client_of(who) for who in ("ada", "bob", "anon"))
    asked = {"question": "Tea?", "answer": "Kettle.", "release_id": "r"}
    (answer,) = ada.table("answers").insert(asked).execute().data
    assert answer["user_id"] == str(project.ids["ada"])
    rated = {"answer_id": answer["answer_id"], "rating": "up"}
    for intruder, row in ((bob, rated), (bob, rated | {"user_id": answer["user_id"]}),
                          (anonymous, rated)):  # fmt: skip
        with pytest.raises(APIError) as refused:
            intruder.table("feedback").insert(row).execute()
        assert refused.value.code == "42501"
    with pytest.raises(APIError):
        bob.table("answers").insert(asked | {"user_id": answer["user_id"]}).execute()
    ada.table("feedback").insert(rated).execute()

    (feedback,) = ada.table("feedback").update({"rating": "down"}).eq(
        "answer_id", answer["answer_id"]
    ).execute().data  # fmt: skip
    assert feedback["rating"] == "down"
    for other in (bob, anonymous):
        for kind in ("pairs", "feedback"):
            folder = tmp_path / f"{id(other)}-{kind}"
            try:
                assert export(SupabaseDoor(other), Wanted(kind), folder).rows == 0
            except Forbidden:
                assert other is anonymous
    assert export(SupabaseDoor(ada), Wanted("pairs"), tmp_path / "ada").rows == 1
    assert bob.table("feedback").delete().eq("rating", "down").execute().data == []
    assert len(ada.table("feedback").delete().eq("rating", "down").execute().data) == 1


def test_a_token_that_is_nobodys(project: Project, tmp_path: Path) -> None:
    forged = project.tokens["ada"][:-6] + "AAAAAA"
    with (
        pytest.raises(Unauthorized, match="sign in again"),
        open_client(project.server.url, project.server.anon_key, forged) as client,
    ):
        export(SupabaseDoor(client), Wanted("chunks"), tmp_path)
