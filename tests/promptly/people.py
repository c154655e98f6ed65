"""Three collections, who may do what with them, and the API over them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4, uuid5

import httpx
import jwt
import psycopg
from fastapi import FastAPI
from psycopg.types.json import Jsonb

from model_pipeline.domain import Chunk, Document
from model_pipeline.embedding.onnx_embedder import OnnxEmbedder
from model_pipeline.store.connect import open_pool
from model_pipeline.store.keys import PgKeys
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.rows import EmbeddedDocument
from tests.servers import jwks
from tests.servers.jwks import KeyServer

SECRET = "a secret of more than thirty-two bytes"
METRICS_TOKEN = "what only the one who scrapes has"
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


def source_id(collection: str) -> UUID:
    return uuid5(COLLECTIONS[collection][0], "source")


def conversation_id(collection: str) -> UUID:
    """Of the collection's owner, about the word."""
    return uuid5(COLLECTIONS[collection][0], "conversation")


def answer_id(collection: str) -> UUID:
    return uuid5(COLLECTIONS[collection][0], "answer")


def job_id(collection: str) -> int:
    return 1_000_000 + list(COLLECTIONS).index(collection)


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

    def ask(self, who: str, method: str, url: str, **more: Any) -> httpx.Response:
        reply: httpx.Response = self.wait(self.asking(who, method, {"url": url, **more}))
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

    def hold(self, collection: str, source: str, identity: UUID) -> None:
        """A document that is known by its id, still without chunks."""
        with psycopg.connect(self.database) as connection:
            connection.execute(
                "insert into documents (document_id, collection_id, source) values (%s, %s, %s)",
                (identity, COLLECTIONS[collection][0], source),
            )

    def vector(self, text: str) -> Any:
        if text not in self.vectors:
            self.vectors[text] = self.embedder.embed([text])
        return self.vectors[text]

    def reset(self) -> None:
        """The three collections as they were at first, and no others."""
        with psycopg.connect(self.database, autocommit=True) as connection:
            connection.execute("delete from collections")
            connection.execute("delete from conversations")
            connection.execute("delete from answers")
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
            for name, (collection, owner, _, word) in COLLECTIONS.items():
                connection.execute(
                    "insert into sources (source_id, collection_id, kind, settings) "
                    "values (%s, %s, 'web', %s)",
                    (
                        source_id(name),
                        collection,
                        Jsonb({"urls": [f"https://{word}.example/"]}),
                    ),
                )
                connection.execute(
                    "insert into conversations (conversation_id, user_id, title) "
                    "values (%s, %s, %s)",
                    (conversation_id(name), PEOPLE[owner], f"What is {word}?"),
                )
                connection.execute(
                    "insert into answers (answer_id, user_id, conversation_id, question, answer, "
                    "release_id) values (%s, %s, %s, %s, %s, 'r')",
                    (
                        answer_id(name),
                        PEOPLE[owner],
                        conversation_id(name),
                        f"What is {word}?",
                        f"A {word}.",
                    ),
                )
                connection.execute(
                    "insert into verdicts (answer_id, signature, user_id, level, score, "
                    "probabilities, reason, sure) "
                    "values (%s, 'w', %s, 2, 2, '{0,1,0,0,0}', %s, true)",
                    (answer_id(name), PEOPLE[owner], f"It says {word}."),
                )
                connection.execute("delete from jobs where collection_id = %s", (collection,))
                connection.execute(
                    "insert into jobs (job_id, collection_id, source_id, reason, dead_at) "
                    "overriding system value values (%s, %s, %s, %s, now())",
                    (job_id(name), collection, source_id(name), f"{word} does not answer."),
                )
        for name, word in WORDS.items():
            self.hold(name, f"{name}/kettle", document_id(name))
            self.put(name, {f"{name}/kettle": f"The kettle is of {word}. It boils the water."})


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
