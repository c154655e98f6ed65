"""The search of PgRetriever through Supabase's HTTP API: `search_chunks`, as one call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from model_pipeline.domain import Passage, SearchMode, SearchResult
from model_pipeline.errors import ConfigurationError
from model_pipeline.store import supabase_api
from model_pipeline.store.embedders import StoredEmbedder
from model_pipeline.store.filters import compile_filter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from supabase import Client


class SupabaseRetriever:
    """Over the chunks that `client`'s user may read; everything with a service key."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def search(
        self,
        *,
        text: str,
        vector: NDArray[np.float32] | None,
        k: int,
        mode: SearchMode,
        collection: str | None,
        filter: Mapping[str, Any] | None,
        embedder: str | None,
    ) -> SearchResult:
        """Raises StoreUnavailable and what the API refuses with."""
        arguments = {
            "query_text": text.replace("\0", " "),
            "query_embedding": None if vector is None else str(vector.tolist()),
            "k": k,
            "mode": mode,
            "collection": collection,
            "filter": compile_filter(filter),
            "embedder": embedder,
        }
        started = time.perf_counter()
        rows = await asyncio.to_thread(self._rows, arguments)
        return SearchResult(
            passages=tuple(_passage(row) for row in rows if row["chunk_id"] is not None),
            complete=rows[0]["complete"],
            timings_ms={"search": (time.perf_counter() - started) * 1000},
        )

    def embedder(self) -> StoredEmbedder:
        """Whose vectors the store holds. Raises ConfigurationError where it holds none."""
        with supabase_api.translate_errors():
            rows: Any = (
                self._client.table("embedder")
                .select("name", "dimensions", "spec", "state")
                .eq("active", True)
                .execute()
                .data
            )
        if not rows:
            raise ConfigurationError("The project holds no vectors yet: ingest documents first.")
        return StoredEmbedder(**(rows[0] | {"spec": rows[0]["spec"] or rows[0]["name"]}))

    def _rows(self, arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
        with supabase_api.translate_errors():
            rows: Any = self._client.rpc("search_chunks", dict(arguments)).execute().data
        return list(rows)


def _passage(row: Mapping[str, Any]) -> Passage:
    return Passage(
        UUID(row["chunk_id"]),
        UUID(row["document_id"]),
        row["source"],
        row["title"],
        tuple(row["heading_path"]),
        row["content"],
        row["metadata"],
        row["start_at"],
        row["score"],
        row["dense_score"],
        row["lexical_score"],
    )
