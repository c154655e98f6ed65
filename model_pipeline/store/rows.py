"""A document as rows: of `documents`, and of `chunks`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import psycopg
from pgvector import HalfVector
from psycopg.types.json import Jsonb

from model_pipeline.domain import Chunk, Document

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

CHUNK_COLUMNS = {
    "collection_id": "uuid",
    "document_id": "uuid",
    "ordinal": "int4",
    "start_at": "int4",
    "heading_path": "text[]",
    "context": "text",
    "content": "text",
    "metadata": "jsonb",
    "embedding": "halfvec",
}


@dataclass(frozen=True, slots=True)
class EmbeddedDocument:
    """A document ready to be stored; `vectors` is float32 of shape [len(chunks), dimensions]."""

    document: Document
    content_hash: str
    origin: str
    chunks: Sequence[Chunk]
    vectors: NDArray[np.float32]


def put_documents(
    connection: psycopg.Connection[Any], collection_id: UUID, batch: Sequence[EmbeddedDocument]
) -> list[UUID]:
    """Make or change their rows; returns their ids, in order. The database makes them: a
    caller who chose them could find out by trying which there are."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into documents (collection_id, source, title, metadata, content_hash, origin, "
            "chunk_count) values (%s, %s, %s, %s, %s, %s, %s) "
            "on conflict (collection_id, source) do update set title = excluded.title, "
            "metadata = excluded.metadata, content_hash = excluded.content_hash, content = null, "
            "origin = excluded.origin, chunk_count = excluded.chunk_count, updated_at = now() "
            "returning document_id",
            [
                (
                    collection_id,
                    item.document.source,
                    item.document.title,
                    _jsonb(item.document.metadata),
                    item.content_hash,
                    item.origin,
                    len(item.chunks),
                )
                for item in batch
            ],
            returning=True,
        )
        return [row[0] for _ in cursor.results() for row in cursor]


def copy_chunks(
    connection: psycopg.Connection[Any],
    table: Literal["chunks", "arriving"],
    items: Iterable[tuple[UUID, UUID, EmbeddedDocument]],
) -> None:
    """All chunks of (collection, document id, document) in one COPY, so that the statistics are
    brought up to date once."""
    statement = f"copy {table} ({', '.join(CHUNK_COLUMNS)}) from stdin (format binary)"
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(list(CHUNK_COLUMNS.values()))
        for collection_id, document_id, item in items:
            metadata = _jsonb(item.document.metadata)
            for chunk, vector in zip(item.chunks, item.vectors, strict=True):
                copy.write_row(
                    (
                        collection_id,
                        document_id,
                        chunk.ordinal,
                        chunk.start,
                        list(chunk.heading_path),
                        chunk.context(item.document.title),
                        chunk.content,
                        metadata,
                        HalfVector(vector),
                    )
                )


def _jsonb(metadata: Mapping[str, Any]) -> Jsonb:
    """What JSON has no form for is kept as text, such as a date from a front matter: 2024-01-31."""
    return Jsonb(_storable(metadata), dumps=partial(json.dumps, default=str, allow_nan=False))


def _storable(value: Any) -> Any:
    """`value` without what Postgres' JSON cannot hold: NUL, half a surrogate pair, a number that is
    none."""
    match value:
        case str():
            return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", value)
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {_storable(str(key)): _storable(one) for key, one in value.items()}
        case list() | tuple():
            return [_storable(one) for one in value]
    return value
