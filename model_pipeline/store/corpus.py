"""What test sets are made of: passages of a collection, and what was asked of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

from model_pipeline.domain import Caller
from model_pipeline.errors import NotFound
from model_pipeline.evaluation.asked import AskedRow
from model_pipeline.evaluation.generated import Source
from model_pipeline.store.caller import connection_as

MAX_DOCUMENTS = 2_000
CHUNKS_A_DOCUMENT = 100
MAX_ASKED = 100_000
PASSAGES, ABSENT, ASKED = (
    (Path(__file__).parent / "sql" / f"corpus_{name}.sql").read_text(encoding="utf-8")
    for name in ("passages", "absent", "asked")
)


class PgCorpus:
    """What `caller` may read, or without one, the database's own user."""

    def __init__(
        self, pool: ConnectionPool[psycopg.Connection[Any]], caller: Caller | None = None
    ) -> None:
        self._pool = pool
        self._caller = caller

    def passages(
        self,
        collection: str,
        *,
        seed: int,
        documents: int = MAX_DOCUMENTS,
        tags: Sequence[str] = (),
    ) -> list[Source]:
        """Of a sample of `documents` where there are more of them: the same one for the same seed,
        whenever they were ingested; with those of the documents' metadata that `tags` names. Raises
        NotFound."""
        values = {
            "collection": collection,
            "seed": str(seed),
            "documents": documents,
            "chunks": CHUNKS_A_DOCUMENT,
            "tags": list(tags),
        }
        with connection_as(self._pool, self._caller) as connection:
            _require(connection, collection)
            rows = connection.execute(PASSAGES, values)
            return [Source(*row) for row in rows]

    def collections(self) -> list[str]:
        """By name."""
        with connection_as(self._pool, self._caller) as connection:
            return [
                name
                for (name,) in connection.execute(
                    "select distinct name from collections order by 1"
                )
            ]

    def absent(self, collection: str, questions: Sequence[str]) -> list[int]:
        """How many of each question's words stand in no chunk of the collection."""
        with connection_as(self._pool, self._caller) as connection:
            values = {"collection": collection, "questions": list(questions)}
            return [count for (count,) in connection.execute(ABSENT, values)]

    def asked(self, collection: str | None) -> list[AskedRow]:
        """Newest first, of this collection or of all that are there to read. Raises NotFound."""
        with connection_as(self._pool, self._caller) as connection:
            if collection is not None:
                _require(connection, collection)
            rows = connection.execute(ASKED, {"collection": collection, "most": MAX_ASKED})
            return [AskedRow(*row) for row in rows]


def _require(connection: psycopg.Connection[Any], collection: str) -> None:
    row = connection.execute("select cardinality(collections_named(%s))", (collection,)).fetchone()
    if row is None or not row[0]:
        raise NotFound(f"There is no collection {collection!r}.")
