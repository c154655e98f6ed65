"""Questions asked through the service's own parts, with and without kept answers, by several
people, while documents and rights change."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from model_pipeline.domain import Answer, Caller, Chunk, Document
from model_pipeline.embedding.onnx_embedder import OnnxEmbedder
from model_pipeline.store.connect import open_pool
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.rows import EmbeddedDocument
from promptly import serving
from promptly.settings import Settings

PEOPLE: dict[str, Caller | None] = {
    name: Caller("authenticated", {"sub": str(uuid4()), "role": "authenticated"})
    for name in ("ann", "bob")
} | {"anybody": Caller(), "operator": None}


def user(name: str) -> str:
    caller = PEOPLE[name]
    assert caller
    return str(caller.claims["sub"])


@dataclass
class House:
    """One database, and replicas of the service that each keep answers, or, `plain`, keep none."""

    database: str
    embedder: OnnxEmbedder
    loop: asyncio.AbstractEventLoop
    replicas: list[serving.Answering]
    plain: serving.Answering
    given_again: int = 0

    def ask(self, who: str, question: str, replica: int = 0, **more: Any) -> Answer:
        return self._ask(self.replicas[replica], who, question, more)

    def ask_anew(self, who: str, question: str, **more: Any) -> Answer:
        return self._ask(self.plain, who, question, more)

    def _ask(self, parts: serving.Answering, who: str, question: str, more: Any) -> Answer:
        _, answerer = parts.acting_for(PEOPLE[who])
        found: Answer = self.wait(answerer.answer(question, **more))
        return found

    def wait(self, asking: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(asking, self.loop).result(60)

    def run(self, statement: str, *values: Any) -> None:
        with psycopg.connect(self.database, autocommit=True) as connection:
            connection.execute(statement.encode(), values)

    def one(self, query: str, *values: Any) -> Any:
        with psycopg.connect(self.database, autocommit=True) as connection:
            row = connection.execute(query.encode(), values).fetchone()
        return row[0] if row else None

    def put(self, collection: str, source: str, text: str, title: str = "") -> None:
        with open_pool(self.database, min_size=1, max_size=1) as pool:
            store = PgStore(pool)
            store.register_embedder(
                self.embedder.name, self.embedder.dimensions, self.embedder.spec
            )
            one = EmbeddedDocument(
                Document(source, title, text), "h", "o", [Chunk(0, 0, len(text), text)],
                self.embedder.embed([text]),
            )  # fmt: skip
            store.replace_documents(store.ensure_collection(collection), [one])


@contextmanager
def house(database: str, embedder: OnnxEmbedder, cache: Path, home: Path) -> Iterator[House]:
    (home / "cache").symlink_to(cache)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def wait(asking: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(asking, loop).result(60)

    with open_pool(database, min_size=1, max_size=2) as pool:
        store = PgStore(pool)
        opened = [
            serving.answering(Settings(home=home, cache=keeps, pool_size=2), database, store)
            for keeps in (True, True, False)
        ]
        try:
            *replicas, plain = [wait(one.__aenter__()) for one in opened]
            yield House(database, embedder, loop, replicas, plain)
        finally:
            for one in opened:
                wait(one.__aexit__(None, None, None))
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)
            loop.close()
