"""People at the HTTPS door: signed up at Supabase's own Auth, through its real client."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import psycopg
import pytest
from postgrest.exceptions import APIError

from model_pipeline.domain import Chunk, Document
from model_pipeline.embedding.onnx_embedder import OnnxEmbedder
from model_pipeline.store.connect import open_pool
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.rows import EmbeddedDocument
from supabase import Client, ClientOptions, create_client
from tests.servers import supabase_lite
from tests.servers.supabase_lite import SupabaseServer

PEOPLE = ("other", "reader", "editor", "owner")
CALLERS = ("anonymous", *PEOPLE)
# What each may see; each collection has a word of its own.
SEES = {
    "anonymous": {"public"},
    "other": {"public", "theirs"},
    "reader": {"public", "private"},
    "editor": {"public", "private"},
    "owner": {"public", "private"},
}
WORDS = {"private": "xanadu", "public": "ytterbium", "theirs": "zanzibar"}
TABLES = ("documents", "chunks", "chunk_lexemes", "collection_statistics", "lexeme_statistics")
REFUSED = "42501"


@dataclass
class Door:
    server: SupabaseServer
    tokens: dict[str, str]
    people: dict[str, UUID]
    collections: dict[str, UUID]
    connections: httpx.Client

    def client(self, who: str) -> Client:
        options = ClientOptions(httpx_client=self.connections)
        made = create_client(self.server.url, self.server.anon_key, options)
        if who in self.tokens:
            made.postgrest.auth(self.tokens[who])
        return made

    def execute(self, statement: str, *arguments: object) -> None:
        with psycopg.connect(self.server.conninfo, autocommit=True) as connection:
            connection.execute(statement.encode(), arguments)


def sign_up(server: SupabaseServer, email: str) -> tuple[str, UUID]:
    """The access token and the id of a new person."""
    body = {"email": email, "password": f"the secret of {email}"}
    headers = {"apikey": server.anon_key}
    reply = httpx.post(f"{server.url}/auth/v1/signup", json=body, headers=headers)
    reply.raise_for_status()
    address = f"{server.url}/auth/v1/token?grant_type=password"
    token = httpx.post(address, json=body, headers=headers).raise_for_status().json()
    return token["access_token"], UUID(token["user"]["id"])


@pytest.fixture(scope="module")
def door(
    module_database: str, embedder: OnnxEmbedder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Door]:
    if reason := supabase_lite.missing():
        pytest.skip(f"{reason}: sh tests/servers/install-node.sh supabase")
    with (
        supabase_lite.running(module_database, tmp_path_factory.mktemp("lite")) as server,
        httpx.Client() as connections,
    ):
        signed = {who: sign_up(server, f"{who}@example.org") for who in PEOPLE}
        tokens = {who: token for who, (token, _) in signed.items()}
        people = {who: identity for who, (_, identity) in signed.items()}
        found = Door(server, tokens, people, fill(server, embedder), connections)
        found.execute("update collections set owner_id = %s", people["owner"])
        found.execute("update collections set owner_id = %s where name = 'theirs'", people["other"])
        found.execute("update collections set visibility = 'public' where name = 'public'")
        for role in ("reader", "editor"):
            found.execute(
                "insert into members (collection_id, user_id, role) values (%s, %s, %s)",
                found.collections["private"], people[role], role,
            )  # fmt: skip
        yield found


def fill(server: SupabaseServer, embedder: OnnxEmbedder) -> dict[str, UUID]:
    collections = {}
    with open_pool(server.conninfo, min_size=1, max_size=1) as pool:
        store = PgStore(pool)
        store.register_embedder(embedder.name, embedder.dimensions)
        for name, word in WORDS.items():
            text = f"The kettle is of {word}."
            collections[name] = store.ensure_collection(name)
            item = EmbeddedDocument(
                Document(f"{name}/kettle", "", text), "h", "o", [Chunk(0, 0, len(text), text)],
                embedder.embed([text]),
            )  # fmt: skip
            store.replace_documents(collections[name], [item])
    return collections


@pytest.mark.parametrize("who", CALLERS)
def test_rows_seen(door: Door, who: str) -> None:
    client = door.client(who)
    names = {str(identity): name for name, identity in door.collections.items()}
    rows = client.table("collections").select("name").execute().data
    assert {row["name"] for row in rows} == SEES[who]
    for table in TABLES:
        rows = client.table(table).select("*").execute().data
        assert {names[row["collection_id"]] for row in rows} == SEES[who], table
        for name in set(WORDS) - SEES[who]:
            assert WORDS[name] not in json.dumps(rows), table


@pytest.mark.parametrize("who", CALLERS)
@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
def test_passages_found(door: Door, embedder: OnnxEmbedder, who: str, mode: str) -> None:
    (vector,) = embedder.embed(["kettle"])
    arguments = {
        "query_text": "kettle", "query_embedding": json.dumps(vector.tolist()), "mode": mode,
    }  # fmt: skip

    def found(**more: str) -> set[str]:
        rows = door.client(who).rpc("search_chunks", {**arguments, **more}).execute().data
        return {row["source"].split("/")[0] for row in rows if row["chunk_id"]}

    assert found() == SEES[who]
    for name in WORDS:
        assert found(collection=name) == {name} & SEES[who]
        assert found(collection=name) == found(collection="nowhere") or name in SEES[who]


@pytest.mark.parametrize("who", CALLERS)
def test_looking_up_what_is_hidden(door: Door, who: str) -> None:
    client = door.client(who)
    for name, identity in door.collections.items():
        role = client.rpc("my_role", {"collection": str(identity)}).execute().data
        ids = client.rpc("collections_named", {"wanted": name}).execute().data
        assert (role is not None) == bool(ids) == (name in SEES[who]), (name, role, ids)


@pytest.mark.parametrize("who", CALLERS)
def test_members_are_seen_by_owners_and_themselves(door: Door, who: str) -> None:
    seen: set[str] = set()
    try:
        rows = door.client(who).table("members").select("user_id").execute().data
        seen = {row["user_id"] for row in rows}
    except APIError as error:
        assert (who, error.code) == ("anonymous", REFUSED)
    expected = {"owner": {"reader", "editor"}, "reader": {"reader"}, "editor": {"editor"}}
    assert seen == {str(door.people[one]) for one in expected.get(who, ())}


@pytest.mark.parametrize("who", CALLERS)
def test_keys_are_seen_by_nobody(door: Door, who: str) -> None:
    """Not even where somebody granted everybody all tables, as this server does when it starts."""
    door.execute(
        "insert into service_keys (name, secret_hash, expires_at) "
        "values ('nightly', sha256('x'), now() + '1 day')"
    )
    table = door.client(who).table("service_keys")
    row = {"name": "x", "secret_hash": "\\x" + "00" * 32, "expires_at": "2099-01-01"}
    try:
        assert table.select("*").execute().data == []
        assert table.delete().eq("name", "nightly").execute().data == []
        with pytest.raises(APIError):
            table.insert(row).execute()
    except APIError as error:
        assert error.code == REFUSED


def test_a_shared_collection_stays_its_makers(door: Door) -> None:
    public, other = str(door.collections["public"]), str(door.people["other"])
    row = {"collection_id": public, "user_id": other, "role": "owner"}
    door.client("owner").table("members").insert(row).execute()
    try:
        table = door.client("other").table("collections")
        for change in ({"owner_id": other}, {"name": "private"}, {"name": "freely"}):
            with pytest.raises(APIError) as caught:
                table.update(change).eq("collection_id", public).execute()
            assert caught.value.code == REFUSED, change
        changed = table.update({"visibility": "public"}).eq("collection_id", public).execute()
        assert len(changed.data) == 1
    finally:
        door.execute("delete from members where role = 'owner'")


def test_changes_are_for_those_who_may(door: Door) -> None:
    for who in CALLERS:
        table = door.client(who).table("documents")
        changed: list[Any] = []
        try:
            changed = table.update({"title": who}).eq("source", "private/kettle").execute().data
        except APIError as error:
            assert (who, error.code) == ("anonymous", REFUSED)
        assert len(changed) == (who in ("editor", "owner")), who


def test_a_bad_token_opens_nothing(door: Door) -> None:
    claims = {
        "sub": str(door.people["owner"]), "role": "authenticated", "aud": "authenticated",
        "exp": time.time() + 3600,
    }  # fmt: skip
    secret = door.server.jwt_secret
    bad = {
        "expired": jwt.encode(claims | {"exp": time.time() - 3600}, secret),
        "forged": jwt.encode(claims, "another secret of more than thirty-two bytes"),
        "unsigned": jwt.encode(claims, "", "none"),
        "a service key": f"promptly_{uuid4().hex}_{'0' * 64}",
    }
    assert names_seen(door, jwt.encode(claims, secret)) == SEES["owner"]
    for name, token in bad.items():
        try:
            seen = names_seen(door, token)
        except APIError:
            continue
        assert seen == SEES["anonymous"], name  # the server takes it for no token


def names_seen(door: Door, token: str) -> set[str]:
    client = door.client("anonymous")
    client.postgrest.auth(token)
    return {row["name"] for row in client.table("collections").select("name").execute().data}
