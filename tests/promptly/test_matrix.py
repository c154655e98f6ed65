"""Each caller at each route of the API, for a private and a public collection: who gets what."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4, uuid5

import httpx
import jwt
import numpy as np
import psycopg
import pytest
from fastapi import FastAPI
from psycopg_pool import ConnectionPool

from model_pipeline.domain import Caller, Chunk, Document
from model_pipeline.embedding.onnx_embedder import OnnxEmbedder
from model_pipeline.errors import NotFound
from model_pipeline.store.caller import connection_as
from model_pipeline.store.connect import connection_arguments, open_pool
from model_pipeline.store.keys import PgKeys
from model_pipeline.store.pg_store import EmbeddedDocument, PgStore
from promptly import bootstrap
from promptly.settings import Settings
from rag_service.api.app import create_app
from tests.servers import jwks
from tests.servers.jwks import KeyServer

SECRET = "a secret of more than thirty-two bytes"
PEOPLE = {name: uuid4() for name in ("other", "reader", "editor", "owner", "newcomer")}
GOOD = ("anonymous", "other", "reader", "key", "editor", "owner")
BAD = ("expired", "forged", "unsigned", "confused", "expired key", "revoked key", "forged key")
# Whose they are, who may see them, and the word that nobody else may read.
COLLECTIONS = {
    "private": (uuid4(), "owner", {"reader", "key", "editor", "owner"}, "xanadu"),
    "public": (uuid4(), "owner", set(GOOD), "ytterbium"),
    "theirs": (uuid4(), "other", {"other"}, "zanzibar"),
}
WORDS = {name: word for name, (_, _, _, word) in COLLECTIONS.items()}
NOWHERE = uuid4()


def document_id(collection: str) -> UUID:
    return uuid5(COLLECTIONS[collection][0], f"{collection}/kettle")


@dataclass(frozen=True)
class Route:
    """What to send about a collection, and the status that each of GOOD gets for it."""

    path: str = ""
    private: tuple[int, ...] = (200,) * 6
    public: tuple[int, ...] = (200,) * 6
    body: dict[str, Any] | None = None
    names: str = ""
    """The field or parameter that names the collection."""
    shows: bool = False
    """Whether a good answer holds the collection's text."""
    changes: bool = False
    open: bool = False
    """Whether it is for everybody, a bad token or not."""

    def request(self, collection: str) -> dict[str, Any]:
        path = self.path.format(
            collection=COLLECTIONS.get(collection, (NOWHERE,))[0],
            document=document_id(collection) if collection in COLLECTIONS else NOWHERE,
            reader=PEOPLE["reader"],
            newcomer=PEOPLE["newcomer"],
        )
        request: dict[str, Any] = {"url": path}
        if self.body is not None:
            request["json"] = {**self.body, **({self.names: collection} if self.names else {})}
        elif self.names:
            request["params"] = {self.names: collection}
        return request


SEEING = (404, 404, 200, 200, 200, 200)
OWNING = (404, 404, 403, 403, 403, 200)
OWNING_PUBLIC = (403, 403, 403, 403, 403, 200)
GONE, GONE_PUBLIC = (404, 404, 403, 403, 403, 204), (403, 403, 403, 403, 403, 204)
PAGE = Route(open=True)
ONE = "/v1/collections/{collection}"
ROUTES: dict[tuple[str, str], list[Route]] = {
    ("POST", "/v1/search"): [
        Route(private=SEEING, body={"query": "the kettle", "mode": mode}, names="collection",
              shows=True)
        for mode in ("hybrid", "dense", "lexical")
    ],
    ("POST", "/v1/answers"): [
        Route(private=SEEING, body={"question": "What is the kettle?", "stream": stream},
              names="collection", shows=True)
        for stream in (False, True)
    ],
    ("GET", "/v1/documents"): [Route(names="collection")],
    # A name is an owner's own: who may not write to that collection gets one of theirs.
    ("POST", "/v1/documents"): [
        Route(private=(403, 200, 200, 403, 200, 200), public=(403, 200, 200, 403, 200, 200),
              body={"text": "A cup.", "source": "cup"}, names="collection", changes=True)
    ],
    ("GET", "/v1/documents/{document_id}"): [
        Route("/v1/documents/{document}", SEEING, shows=True)
    ],
    ("DELETE", "/v1/documents/{document_id}"): [
        Route("/v1/documents/{document}", (404, 404, 403, 403, 204, 204),
              (403, 403, 403, 403, 204, 204), changes=True)
    ],
    ("GET", "/v1/collections"): [Route()],
    ("POST", "/v1/collections"): [
        Route(private=(403, 201, 201, 403, 201, 409), public=(403, 201, 201, 403, 201, 409),
              body={}, names="name", changes=True)
    ],
    ("PATCH", "/v1/collections/{collection_id}"): [
        Route(ONE, OWNING, OWNING_PUBLIC, {"name": "n", "visibility": "private"}, changes=True)
    ],
    ("DELETE", "/v1/collections/{collection_id}"): [Route(ONE, GONE, GONE_PUBLIC, changes=True)],
    ("GET", "/v1/collections/{collection_id}/members"): [
        Route(f"{ONE}/members", OWNING, OWNING_PUBLIC)
    ],
    ("PUT", "/v1/collections/{collection_id}/members/{user_id}"): [
        Route(f"{ONE}/members/{{newcomer}}", OWNING, OWNING_PUBLIC, {"role": "owner"},
              changes=True)
    ],
    ("DELETE", "/v1/collections/{collection_id}/members/{user_id}"): [
        Route(f"{ONE}/members/{{reader}}", GONE, GONE_PUBLIC, changes=True)
    ],
    ("GET", "/healthz"): [PAGE],
    ("GET", "/readyz"): [PAGE],
    ("GET", "/openapi.json"): [PAGE],
    ("GET", "/docs"): [PAGE],
    ("GET", "/docs/oauth2-redirect"): [PAGE],
    ("GET", "/redoc"): [PAGE],
}  # fmt: skip
CELLS = [
    pytest.param(method, path, route, id=f"{method} {path} {number}")
    for (method, path), routes in ROUTES.items()
    for number, route in enumerate(routes)
]


@dataclass
class Service:
    """The API in this process, over a real database; `ask` may be called from any thread."""

    app: FastAPI
    client: httpx.AsyncClient
    loop: asyncio.AbstractEventLoop
    tokens: dict[str, str]
    database: str
    embedder: OnnxEmbedder
    vectors: dict[str, Any] = field(default_factory=dict)

    def ask(self, who: str, method: str, route: Route, collection: str) -> httpx.Response:
        reply: httpx.Response = self.wait(self.asking(who, method, route.request(collection)))
        return reply

    async def asking(self, who: str, method: str, request: dict[str, Any]) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.tokens[who]}"} if who in self.tokens else {}
        return await self.client.request(method, headers=headers, **request)

    def wait(self, asking: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(asking, self.loop).result(60)

    def put(self, collection: str, texts: dict[str, str]) -> None:
        with open_pool(self.database, min_size=1, max_size=1) as pool:
            store = PgStore(pool)
            store.register_embedder(self.embedder.name, self.embedder.dimensions)
            batch = [
                EmbeddedDocument(
                    Document(source, "", text), "h", "o", [Chunk(0, 0, len(text), text)],
                    self.vector(text),
                )
                for source, text in texts.items()
            ]  # fmt: skip
            store.replace_documents(COLLECTIONS[collection][0], batch)

    def vector(self, text: str) -> Any:
        if text not in self.vectors:
            self.vectors[text] = self.embedder.embed([text])
        return self.vectors[text]

    def reset(self) -> None:
        """The three collections as they were at first, and no others."""
        with psycopg.connect(self.database, autocommit=True) as connection:
            connection.execute("delete from collections")
            for name, (collection, owner, _, _) in COLLECTIONS.items():
                connection.execute(
                    "insert into collections (collection_id, name, owner_id, visibility) "
                    "values (%s, %s, %s, %s)",
                    (
                        collection, name, PEOPLE[owner],
                        "public" if name == "public" else "private",
                    ),
                )  # fmt: skip
            for name in ("private", "public"):
                for who in ("reader", "editor", "key"):
                    connection.execute(
                        "insert into members (collection_id, user_id, role) values (%s, %s, %s)",
                        (
                            COLLECTIONS[name][0],
                            PEOPLE[who],
                            "editor" if who == "editor" else "reader",
                        ),
                    )
        for name, word in WORDS.items():
            self.put(name, {f"{name}/kettle": f"The kettle is of {word}. It boils the water."})


@pytest.fixture(scope="module")
def key_server() -> Iterator[KeyServer]:
    with jwks.running() as server:
        yield server


def tokens(server: KeyServer, database: str) -> dict[str, str]:
    def signed(who: str, key: Any = None, algorithm: str = "RS256", **changes: Any) -> str:
        claims = {
            "sub": str(PEOPLE[who]), "role": "authenticated", "aud": "authenticated",
            "exp": time.time() + 3600,
        } | changes  # fmt: skip
        rsa = server.keys["rsa"]
        if algorithm == "confused":
            return jwks.signed_with_public_key(claims, rsa, "rsa")
        headers = {"kid": "rsa"}
        return jwt.encode(claims, rsa if key is None else key, algorithm, headers=headers)

    made = {who: signed(who) for who in ("other", "reader", "editor", "owner")}
    made |= {
        "expired": signed("owner", exp=time.time() - 60),
        "forged": signed("owner", "another secret of thirty-two bytes!!", "HS256"),
        "unsigned": signed("owner", "", "none"),
        "confused": signed("owner", algorithm="confused"),
    }
    with open_pool(database, min_size=1, max_size=1) as pool:
        PgStore(pool).ensure_collection("any")
        keys = PgKeys(pool)
        for name in ("key", "expired key", "revoked key"):
            key, made[name] = keys.create(name, {"any": "reader"}, lifetime=timedelta(days=1))
            PEOPLE[name] = key.key_id
            if name == "revoked key":
                keys.revoke(key.key_id)
    made["forged key"] = made["key"][:-64] + "0" * 64
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("update service_keys set expires_at = now() where name = 'expired key'")
    return made


@pytest.fixture(scope="module")
def service(
    module_database: str,
    key_server: KeyServer,
    embedder: OnnxEmbedder,
    embedder_cache: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    home = tmp_path_factory.mktemp("home")
    (home / "cache").symlink_to(embedder_cache)
    settings = Settings(
        home=home, allowed_hosts=("testserver",), supabase_jwks_url=key_server.url,
        supabase_jwt_secret=SECRET,
    )  # type: ignore[arg-type]  # fmt: skip
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def wait(asking: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(asking, loop).result(60)

    opened = bootstrap.services(settings, module_database)
    app = create_app(wait(opened.__aenter__()))
    client = httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://testserver", timeout=30
    )
    found = tokens(key_server, module_database)
    made = Service(app, client, loop, found, module_database, embedder)
    made.reset()
    try:
        yield made
    finally:
        wait(client.aclose())
        wait(opened.__aexit__(None, None, None))
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def served(routes: Any) -> Iterator[tuple[str, str]]:
    """Every method and path; a kind of route that is not known here fails."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from served(inner.routes)
        else:
            yield from ((method, route.path) for method in route.methods - {"HEAD"})


def test_every_route_has_its_row(service: Service) -> None:
    assert sorted(served(service.app.routes)) == sorted(ROUTES)


def comparable(reply: httpx.Response, *ids: object) -> tuple[int, str]:
    """A reply without what differs by nature: ids that were sent, and the request's own."""
    text = reply.text
    for one in ids:
        text = text.replace(str(one), "?")
    body = json.loads(text)
    return reply.status_code, json.dumps({**body, "request_id": ""})


@pytest.mark.parametrize("collection", ["private", "public"])
@pytest.mark.parametrize(("method", "path", "route"), CELLS)
def test_who_gets_what(
    service: Service, method: str, path: str, route: Route, collection: str
) -> None:
    if not route.path:
        route = Route(**{**vars(route), "path": path})
    identity, _, readers, word = COLLECTIONS[collection]
    statuses = dict(zip(GOOD, getattr(route, collection), strict=True))
    for who in GOOD:
        reply = service.ask(who, method, route, collection)
        assert reply.status_code == statuses[who], (who, reply.text)
        told = reply.text + str(reply.headers)
        for name, (_, _, allowed, secret) in COLLECTIONS.items():
            assert who in allowed or secret not in told, (who, name)
        if route.shows:
            assert (word in told) == (who in readers), (who, reply.text)
        if reply.status_code == 404:
            asked = json.dumps(route.request("nowhere" if route.names else collection))
            for one in (identity, document_id(collection)):
                asked = asked.replace(str(one), str(NOWHERE))
            missing = service.wait(service.asking(who, method, json.loads(asked)))
            ids = (identity, document_id(collection), NOWHERE, f"'{collection}'", "'nowhere'")
            assert comparable(reply, *ids) == comparable(missing, *ids), who
        if route.changes and reply.is_success:
            service.reset()


@pytest.mark.parametrize("who", BAD)
def test_a_bad_token_opens_nothing(service: Service, who: str) -> None:
    for (method, path), routes in ROUTES.items():
        route = Route(**{**vars(routes[0]), "path": routes[0].path or path})
        reply = service.ask(who, method, route, "public")
        if route.open:
            assert reply.status_code == 200, path
        else:
            assert reply.status_code == 401, (path, reply.text)
            assert reply.headers["www-authenticate"] == "Bearer"
            assert not any(word in reply.text for word in WORDS.values())


def test_nothing_was_changed_by_any_of_it(service: Service) -> None:
    """After all cells above: what is there is what `reset` put there."""
    listed = service.wait(service.asking("owner", "GET", {"url": "/v1/documents"})).json()
    assert sorted(one["source"] for one in listed["documents"]) == [
        "private/kettle",
        "public/kettle",
    ]


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
@pytest.mark.parametrize("who", ["anonymous", "other"])
def test_scores_and_counts_say_nothing_of_what_is_hidden(
    service: Service, who: str, mode: str
) -> None:
    def seen() -> str:
        found = []
        for collection in (None, "public"):
            body = {"query": "the kettle boils water ytterbium", "mode": mode, "k": 50,
                    "collection": collection}  # fmt: skip
            reply = service.wait(service.asking(who, "POST", {"url": "/v1/search", "json": body}))
            found.append({key: reply.json()[key] for key in ("passages", "complete")})
        for url in ("/v1/documents", "/v1/collections"):
            body = service.wait(service.asking(who, "GET", {"url": url})).json()
            found.append({**body, "timings_ms": {}})
        return json.dumps(found)

    before = seen()
    assert "ytterbium" in before
    service.put(
        "private",
        {f"more/{n}": f"The kettle boils water {n}. Ytterbium, xanadu." for n in range(60)},
    )
    try:
        assert seen() == before
    finally:
        service.reset()


def test_callers_at_once_get_their_own(service: Service) -> None:
    """The pool's few connections serve everybody in turn: nothing of one stays for the next."""
    draw = random.Random(7)
    asked = [draw.choice(GOOD) for _ in range(120)]

    async def all_at_once() -> list[httpx.Response]:
        body = {"query": "the kettle", "k": 50}
        asking = (service.asking(one, "POST", {"url": "/v1/search", "json": body}) for one in asked)
        return list(await asyncio.gather(*asking))

    for who, reply in zip(asked, service.wait(all_at_once()), strict=True):
        assert reply.status_code == 200, reply.text
        seen = {name for name, word in WORDS.items() if word in reply.text}
        assert seen == {name for name, (_, _, may, _) in COLLECTIONS.items() if who in may}, who


def test_a_shared_collection_cannot_be_taken_or_traced(service: Service) -> None:
    """By another owner of it: who made it stays, and so does what else they have called so."""
    public = f"/v1/collections/{COLLECTIONS['public'][0]}"

    def ask(who: str, method: str, url: str, **body: object) -> httpx.Response:
        request = {"url": url, "json": body} if body else {"url": url}
        reply: httpx.Response = service.wait(service.asking(who, method, request))
        return reply

    try:
        other, maker = PEOPLE["other"], PEOPLE["owner"]
        for role in ("reader", "owner"):
            made = ask("owner", "PUT", f"{public}/members/{other}", role=role)
            assert (made.status_code, made.json()["role"]) == (200, role)
        members = ask("other", "GET", f"{public}/members").json()["members"]
        assert members[0]["user_id"] == str(maker)
        assert (members[-1]["user_id"], members[-1]["role"]) == (str(other), "owner")
        for method, body in (("DELETE", {}), ("PUT", {"role": "reader"})):
            assert ask("other", method, f"{public}/members/{maker}", **body).status_code == 409
        # 'private' is a name that its maker has and 'freely' is none: the same to another owner.
        replies = [ask("other", "PATCH", public, name=name) for name in ("private", "freely")]
        assert comparable(replies[0]) == comparable(replies[1])
        assert replies[0].status_code == 403
        assert ask("owner", "PATCH", public, name="private").status_code == 409
        assert ask("other", "PATCH", public, visibility="private").json()["role"] == "owner"
        key = ask("owner", "PUT", f"{public}/members/{PEOPLE['key']}", role="owner")
        assert (key.status_code, "service key" in key.json()["detail"]) == (403, True)
        assert ask("owner", "DELETE", f"{public}/members/{uuid4()}").status_code == 404
    finally:
        service.reset()


def work(database: str, who: Caller, act: Callable[[PgStore], object]) -> tuple[list[str], int]:
    """The statements that `act` has the database run as `who`, and how many blocks these read."""
    noted: list[tuple[str, Any]] = []

    class Noting(psycopg.Cursor[Any]):
        def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
            noted.append((query, params))
            return super().execute(query, params, **options)

    arguments = connection_arguments(database) | {"cursor_factory": Noting}
    with ConnectionPool(database, kwargs=arguments, min_size=1, max_size=1) as pool:
        with pytest.raises(NotFound):
            act(PgStore(pool, who))
        statements, touched = list(noted), 0
        with connection_as(pool, who) as connection:
            for query, params in statements:
                if not query.startswith("set "):
                    connection.execute(query, params)  # warm
                    explained = f"explain (analyze, buffers, timing off, format json) {query}"
                    (plan,) = connection.execute(explained, params).fetchone()
                    touched += plan[0]["Plan"]["Shared Hit Blocks"]
    return [query for query, _ in statements], touched


@pytest.mark.parametrize("act", ["get_document", "delete_document"])
def test_what_is_hidden_takes_no_longer_than_what_is_not_there(service: Service, act: str) -> None:
    """A large document: reading past its chunks would tell of it by the time that takes."""
    text = "The kettle boils. " * 2000
    pieces = [Chunk(n, n * 18, n * 18 + 18, text[n * 18 : n * 18 + 18]) for n in range(2000)]
    large = EmbeddedDocument(
        Document("large", "", text), "h", "o", pieces, np.repeat(service.vector("tea"), 2000, 0)
    )
    identity = COLLECTIONS["private"][0]
    with open_pool(service.database, min_size=1, max_size=1) as pool:
        PgStore(pool).replace_documents(identity, [large])
    try:
        stranger = Caller("authenticated", {"sub": str(PEOPLE["other"]), "role": "authenticated"})
        for who in (stranger, Caller()):
            hidden, missing = (
                work(service.database, who, lambda store, one=one: getattr(store, act)(one))  # type: ignore[misc]
                for one in (uuid5(identity, "large"), uuid4())
            )
            assert hidden[0] == missing[0]
            assert abs(hidden[1] - missing[1]) <= 2, (hidden, missing)
    finally:
        service.reset()
