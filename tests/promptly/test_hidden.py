"""What is hidden shows in nothing: scores, counts, what is kept for others, the database's work."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4, uuid5

import httpx
import numpy as np
import psycopg
import pytest
from psycopg_pool import ConnectionPool

from model_pipeline.domain import Caller, Chunk, Document
from model_pipeline.errors import NotFound
from model_pipeline.store.caller import connection_as
from model_pipeline.store.collections import PgCollections
from model_pipeline.store.connect import connection_arguments, open_pool
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.rows import EmbeddedDocument
from tests.promptly.people import COLLECTIONS, GOOD, PEOPLE, WORDS, Service


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
            reply = service.ask(who, "POST", "/v1/search", json=body)
            found.append({key: reply.json()[key] for key in ("passages", "complete")})
        for url in ("/v1/documents", "/v1/collections"):
            body = service.ask(who, "GET", url).json()
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
        request = {"url": "/v1/search", "json": {"query": "the kettle", "k": 50}}
        room = asyncio.Semaphore(16)  # more than connections, fewer than are turned away

        async def asking(who: str) -> httpx.Response:
            async with room:
                return await service.asking(who, "POST", request)

        return list(await asyncio.gather(*map(asking, asked)))

    for who, reply in zip(asked, service.wait(all_at_once()), strict=True):
        assert reply.status_code == 200, reply.text
        seen = {name for name, word in WORDS.items() if word in reply.text}
        assert seen == {name for name, (_, _, may, _) in COLLECTIONS.items() if who in may}, who


Pool = ConnectionPool[psycopg.Connection[Any]]
Act = Callable[[Pool, Caller, UUID], object]
LOOK_UPS: dict[str, Act] = {
    "a document": lambda pool, who, one: PgStore(pool, who).get_document(one),
    "a document to delete": lambda pool, who, one: PgStore(pool, who).delete_document(one),
    "members": lambda pool, who, one: PgCollections(pool, who).members(one),
    "a collection to delete": lambda pool, who, one: PgCollections(pool, who).delete(one),
    "a collection to share": lambda pool, who, one: PgCollections(pool, who).set_member(
        one, PEOPLE["newcomer"], "reader"
    ),
}
STRANGERS = (
    Caller("authenticated", {"sub": str(PEOPLE["other"]), "role": "authenticated"}),
    Caller(),
)


def work(database: str, who: Caller, act: Act, one: UUID) -> tuple[list[str], int]:
    """The statements that `act` has the database run as `who`, and how many blocks these read."""
    noted: list[tuple[str, Any]] = []

    class Noting(psycopg.Cursor[Any]):
        def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
            noted.append((query, params))
            return super().execute(query, params, **options)

    arguments = connection_arguments(database) | {"cursor_factory": Noting}
    with ConnectionPool(database, kwargs=arguments, min_size=1, max_size=1) as pool:
        with pytest.raises(NotFound):
            act(pool, who, one)
        statements = [(query, params) for query, params in noted if not query.startswith("set ")]
    return [query for query, _ in noted], blocks(database, who, statements)


def blocks(database: str, who: Caller, statements: list[tuple[str, Any]]) -> int:
    """The blocks read, at best of three: a vacuum or analyze beside it has a statement planned
    anew, whose look-ups in the catalogue count too.
    """
    read = 0
    with (
        open_pool(database, min_size=1, max_size=1) as pool,
        connection_as(pool, who) as connection,
    ):
        for query, params in statements:
            connection.execute(query.encode(), params)  # warm
            explained = f"explain (analyze, buffers, timing off, format json) {query}"
            plans = [connection.execute(explained.encode(), params).fetchall() for _ in range(3)]
            read += min(plan["Plan"]["Shared Hit Blocks"] for [([plan],)] in plans)
    return read


@pytest.fixture
def large(service: Service) -> Iterator[None]:
    """A large document in the private collection: reading past it would take time that tells."""
    text = "The kettle boils. " * 2000
    pieces = [Chunk(n, n * 18, n * 18 + 18, text[n * 18 : n * 18 + 18]) for n in range(2000)]
    vectors = np.repeat(service.vector("tea"), 2000, 0)
    document = EmbeddedDocument(Document("large", "", text), "h", "o", pieces, vectors)
    service.hold("private", "large", uuid5(COLLECTIONS["private"][0], "large"))
    with open_pool(service.database, min_size=1, max_size=1) as pool:
        PgStore(pool).replace_documents(COLLECTIONS["private"][0], [document])
    yield
    service.reset()


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("looked_up", LOOK_UPS)
def test_what_is_hidden_takes_the_path_of_what_is_not_there(
    service: Service, looked_up: str
) -> None:
    hidden = COLLECTIONS["private"][0]
    if "document" in looked_up:
        hidden = uuid5(hidden, "large")
    for who in STRANGERS:
        there, absent = (
            work(service.database, who, LOOK_UPS[looked_up], one) for one in (hidden, uuid4())
        )
        assert there[0] == absent[0]
        assert abs(there[1] - absent[1]) <= 2, (there, absent)


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
def test_so_does_a_name_that_is_hidden(service: Service, mode: str) -> None:
    search = (
        "select * from search_chunks('kettle', array_fill(0.05::real, array[384])::halfvec, 10, "
        f"'{mode}', %s)"
    )
    statements = (search, "select collections_named(%s)")
    for who in STRANGERS:
        hidden, absent = (
            blocks(service.database, who, [(one, (name,)) for one in statements])
            for name in ("private", "nowhere")
        )
        assert abs(hidden - absent) <= 2, (hidden, absent)
