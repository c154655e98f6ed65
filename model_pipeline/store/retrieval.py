"""Retrieval: one statement, one round trip."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import psycopg
from pgvector import HalfVector
from psycopg_pool import AsyncConnectionPool

from model_pipeline.domain import Caller, Passage, SearchMode, SearchResult
from model_pipeline.errors import InvalidInput, NotFound
from model_pipeline.store.caller import as_caller, to_settings
from model_pipeline.store.connect import translate_errors
from model_pipeline.store.filters import compile_filter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_K = 100
SEARCH, SEARCH_AS, SCOPE, SCOPE_AS = (
    (Path(__file__).parent / "sql" / name).read_text(encoding="utf-8")
    for name in ("search.sql", "search_as.sql", "scope.sql", "scope_as.sql")
)


class PgRetriever:
    """Dense and lexical search over the chunks of a Postgres store: those that `caller` may see, or
    without one, that the store's own user sees. With `tell_scope` a result says what was read."""

    def __init__(
        self,
        pool: AsyncConnectionPool[psycopg.AsyncConnection[Any]],
        caller: Caller | None = None,
        *,
        tell_scope: bool = False,
    ) -> None:
        self._pool = pool
        self._caller = caller
        self._tell_scope = tell_scope

    async def search(
        self,
        *,
        text: str,
        vector: NDArray[np.float32] | None,
        k: int,
        mode: SearchMode,
        collection: str | None,
        filter: Mapping[str, Any] | None,
        candidates: int = 100,
        embedder: str | None = None,
    ) -> SearchResult:
        """The k best passages; `candidates` of each arm are fused in hybrid mode.

        `vector` is float32 of shape [dimensions] and unit length; lexical mode needs none.
        `embedder` names the one that made it. Raises EmbedderMismatch where that is not the active
        one, InvalidInput, NotFound for an unknown collection, StoreUnavailable.
        """
        if not 1 <= k <= MAX_K:
            raise InvalidInput(f"k is {k}: ask for 1 to {MAX_K} passages.")
        if mode not in get_args(SearchMode):
            raise InvalidInput(f"The mode is {mode!r}: use hybrid, dense or lexical.")
        if vector is None and mode != "lexical":
            raise InvalidInput(f"The mode {mode} needs the question's vector.")
        arguments = {
            "text": text.replace("\0", " "),
            "vector": None if vector is None else HalfVector(vector),
            "k": k,
            "mode": mode,
            "collection": collection,
            "filter": compile_filter(filter),
            "candidates": candidates,
            "embedder": embedder,
            "tell_scope": self._tell_scope,
        }
        started = time.perf_counter()
        with translate_errors():
            async with self._pool.connection() as connection:
                cursor = connection.cursor(binary=True)
                if self._caller is None:
                    await cursor.execute(SEARCH, arguments)
                else:
                    await cursor.execute(SEARCH_AS, arguments | to_settings(self._caller))
                rows = await cursor.fetchall()
                if rows[0][1] is None and collection is not None:
                    async with as_caller(connection, self._caller):
                        await _require_collection(connection, collection)
        elapsed = (time.perf_counter() - started) * 1000
        return SearchResult(
            passages=tuple(_passage(row) for row in rows if row[1] is not None),
            complete=rows[0][0],
            timings_ms={"search": elapsed},
            scope=rows[0][-1],
        )

    async def scope(self, collection: str | None, embedder: str) -> str | None:
        """What a search would read now, as SearchResult has it; None where there is nothing.

        Raises EmbedderMismatch where `embedder` is not the active one, StoreUnavailable.
        """
        arguments = {"collection": collection, "embedder": embedder}
        with translate_errors():
            async with self._pool.connection() as connection:
                if self._caller is None:
                    cursor = await connection.execute(SCOPE, arguments)
                else:
                    cursor = await connection.execute(
                        SCOPE_AS, arguments | to_settings(self._caller)
                    )
                row = await cursor.fetchone()
        return row[1] if row else None

    async def ping(self) -> None:
        """Raises StoreUnavailable where the database does not answer."""
        with translate_errors():
            async with self._pool.connection() as connection:
                await connection.execute("select 1 from embedder")


async def _require_collection(connection: psycopg.AsyncConnection[Any], name: str) -> None:
    cursor = await connection.execute("select collections_named(%s)", (name,))
    if await cursor.fetchone() == ([],):
        raise NotFound(f"There is no collection {name!r}.")


def _passage(row: tuple[Any, ...]) -> Passage:
    _, chunk_id, document_id, source, title, path, content, metadata, start, *scores, _ = row
    score, dense, lexical = scores
    return Passage(
        chunk_id,
        document_id,
        source,
        title,
        tuple(path),
        content,
        metadata,
        start,
        score,
        dense,
        lexical,
    )
