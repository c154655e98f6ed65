"""Documents in and out of Postgres: the write side, and what is listed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.errors import DeadlockDetected, SerializationFailure, UniqueViolation
from psycopg_pool import ConnectionPool

from model_pipeline.domain import Caller, DocumentSummary
from model_pipeline.errors import Forbidden, NotFound, PromptlyError, StoreUnavailable
from model_pipeline.store.caller import connection_as
from model_pipeline.store.collections import lock_collection, require_name
from model_pipeline.store.connect import translate_errors
from model_pipeline.store.embedders import (
    StoredEmbedder,
    register,
    require_embedder,
    stored_embedders,
)
from model_pipeline.store.rows import CHUNK_COLUMNS, EmbeddedDocument, copy_chunks, put_documents

Result = TypeVar("Result")
ATTEMPTS = 4
OVERTAKEN = (DeadlockDetected, SerializationFailure, UniqueViolation)
# One's own before what others share.
WRITABLE = """
select collection_id from collections
where collection_id = any(collections_named(%s))
    and (reads_everything() or collection_id = any(my_collections('editor')))
order by owner_id is not distinct from auth.uid() desc, collection_id limit 1
"""
SNAPSHOT = "set transaction isolation level repeatable read read only"
SUMMARY = """
select d.document_id, c.name, d.source, d.title, d.metadata, d.chunk_count, d.content_hash,
    to_char(d.updated_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
from documents as d join collections as c using (collection_id)
"""


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """`start` is the chunk's place in its document, in code points."""

    chunk_id: UUID
    ordinal: int
    start: int
    heading_path: tuple[str, ...]
    content: str


class PgStore:
    """What `caller` may see and change, or without one, the store's own user. Raises
    StoreUnavailable whenever the database does not answer, Forbidden where row-level security
    refuses a change."""

    def __init__(
        self, pool: ConnectionPool[psycopg.Connection[Any]], caller: Caller | None = None
    ) -> None:
        self._pool = pool
        self._caller = caller
        self._embedder: tuple[str, int] | None = None

    # Collections and the embedder

    def ensure_collection(self, name: str) -> UUID:
        """One of that name that the caller may write to; made, where there is none. Raises
        InvalidInput, Forbidden for who makes none."""
        try:
            with self._connection() as connection:
                return ensure_collection(connection, name)
        except Forbidden as error:
            raise Forbidden(
                f"You may write to no collection {name!r}, nor make one: name another, or sign in."
            ) from error

    def counts(self) -> dict[str, int]:
        with self._connection() as connection:
            row = connection.execute(
                "select (select count(*) from collections), (select count(*) from documents), "
                "(select coalesce(sum(chunk_count), 0)::bigint from collection_statistics)"
            ).fetchone()
        assert row is not None
        return dict(zip(("collections", "documents", "chunks"), row, strict=True))

    def register_embedder(self, name: str, dimensions: int, spec: str | None = None) -> None:
        """Note whose vectors the store holds, and what opens it (without `spec`: its name); raises
        EmbedderMismatch when they are another's, ConfigurationError for vectors too wide to be
        indexed. An empty store takes any embedder, and fits its vector column to it."""
        with translate_errors(), self._pool.connection() as connection:
            register(connection, name, dimensions, spec or name)
        self._embedder = (name, dimensions)

    def embedders(self) -> list[StoredEmbedder]:
        """The active one first; while it is being switched, the next or the previous one too."""
        with translate_errors(), self._pool.connection() as connection:
            return stored_embedders(connection)

    # Writing

    def content_hashes(self, collection_id: UUID, sources: Sequence[str]) -> dict[str, str]:
        with self._connection() as connection:
            rows = connection.execute(
                "select source, content_hash from documents "
                "where collection_id = %s and source = any(%s)",
                (collection_id, list(sources)),
            )
            return dict(rows.fetchall())

    def replace_documents(
        self,
        collection_id: UUID,
        batch: Sequence[EmbeddedDocument],
        made_by: tuple[str, int] | None = None,
    ) -> None:
        """Put all of `batch` in place of what stood there before, in one transaction.

        Of several documents with one source the last counts. `made_by` is (name, dimensions) of
        the vectors' embedder: the one registered last where it is None. Raises InvalidInput for
        what Postgres cannot hold, EmbedderMismatch where another embedder is active.
        """
        batch = list({item.document.source: item for item in batch}.values())
        if not batch:
            return

        def write(connection: psycopg.Connection[Any]) -> None:
            require_embedder(connection, made_by or self._embedder)
            _lock_documents(connection, collection_id, [item.document.source for item in batch])
            lock_collection(connection, collection_id)
            ids = put_documents(connection, collection_id, batch)
            connection.execute("delete from chunks where document_id = any(%s)", (ids,))
            rows = ((collection_id, *one) for one in zip(ids, batch, strict=True))
            if self._caller is None:
                copy_chunks(connection, "chunks", rows)
                return
            # COPY does not know row-level security: past a table of one's own.
            connection.execute(
                "create temp table arriving (like chunks including defaults) on commit drop"
            )
            copy_chunks(connection, "arriving", rows)
            statement = sql.SQL("insert into chunks ({0}) select {0} from arriving")
            connection.execute(
                statement.format(sql.SQL(", ").join(map(sql.Identifier, CHUNK_COLUMNS)))
            )

        self.transact(write)

    def remove_sources(self, collection_id: UUID, sources: Sequence[str]) -> int:
        """Delete these documents; returns how many there were."""
        if not sources:
            return 0

        def remove(connection: psycopg.Connection[Any]) -> int:
            known = _lock_documents(connection, collection_id, sources)
            lock_collection(connection, collection_id)
            return connection.execute(
                "delete from documents where document_id = any(%s)", (list(known.values()),)
            ).rowcount

        return self.transact(remove)

    def delete_document(self, document_id: UUID) -> None:
        """Raises NotFound, Forbidden where the caller reads it alone."""

        def remove(connection: psycopg.Connection[Any]) -> None:
            collection_id = _collection_of(connection, document_id)
            if collection_id is None:
                raise NotFound(f"There is no document {document_id}.")
            connection.execute(
                "select 1 from documents where document_id = %s for no key update", (document_id,)
            )
            lock_collection(connection, collection_id)
            gone = connection.execute(
                "delete from documents where document_id = %s", (document_id,)
            ).rowcount
            if not gone and _collection_of(connection, document_id):
                raise Forbidden("This document is not yours to delete: ask an editor.")
            if not gone:  # while this waited for the lock
                raise NotFound(f"There is no document {document_id}.")

        self.transact(remove)

    # Reading

    def sources_from(self, collection_id: UUID, origin: str) -> set[str]:
        """The documents that an ingest of `origin` found, now or before."""
        with self._connection() as connection:
            rows = connection.execute(
                "select source from documents where collection_id = %s and origin = %s",
                (collection_id, origin),
            )
            return {source for (source,) in rows}

    def list_documents(
        self, *, collection: str | None, limit: int, after: UUID | None
    ) -> list[DocumentSummary]:
        """By document id; the next page starts after the last one's."""
        with self._connection() as connection:
            rows = connection.execute(
                SUMMARY + "where (%(name)s::text is null "
                "or d.collection_id = any((select collections_named(%(name)s))::uuid[])) "
                "and (%(after)s::uuid is null or d.document_id > %(after)s) "
                "order by d.document_id limit %(limit)s",
                {"name": collection, "after": after, "limit": limit},
            ).fetchall()
        return [DocumentSummary(*row) for row in rows]

    def get_document(self, document_id: UUID) -> tuple[DocumentSummary, list[StoredChunk]]:
        """A document and its chunks in order, of one moment; NotFound where there is none."""
        with self._connection(snapshot=True) as connection:
            row = None
            if _collection_of(connection, document_id) is not None:
                row = connection.execute(
                    SUMMARY + "where d.document_id = %s", (document_id,)
                ).fetchone()
            if row is None:
                raise NotFound(f"There is no document {document_id}.")
            chunks = connection.execute(
                "select chunk_id, ordinal, start_at, heading_path, content from chunks "
                "where document_id = %s order by ordinal",
                (document_id,),
            ).fetchall()
        return DocumentSummary(*row), [
            StoredChunk(chunk_id, ordinal, start, tuple(path), content)
            for chunk_id, ordinal, start, path, content in chunks
        ]

    @contextmanager
    def _connection(self, *, snapshot: bool = False) -> Iterator[psycopg.Connection[Any]]:
        """As the caller; with `snapshot`, all that is read is of one moment."""
        with connection_as(self._pool, self._caller, begin=SNAPSHOT if snapshot else None) as one:
            yield one

    def transact(self, work: Callable[[psycopg.Connection[Any]], Result]) -> Result:
        """Run `work` in a transaction, again where another writer's made it fail."""
        for _ in range(ATTEMPTS):
            try:
                with self._connection() as connection, connection.transaction():
                    return work(connection)
            except PromptlyError as error:
                if not isinstance(error.__cause__, OVERTAKEN):
                    raise
        raise StoreUnavailable("Other writers kept getting in the way: try again shortly.")


def ensure_collection(connection: psycopg.Connection[Any], name: str) -> UUID:
    """The collection of this name that the caller may write to, made where there is none."""
    require_name(name)
    row = connection.execute(WRITABLE, (name,)).fetchone()
    if row is None:
        connection.execute(
            "insert into collections (name) values (%s) on conflict (owner_id, name) do nothing",
            (name,),
        )
        row = connection.execute(WRITABLE, (name,)).fetchone()
    assert row is not None
    collection_id: UUID = row[0]
    return collection_id


def _lock_documents(
    connection: psycopg.Connection[Any], collection_id: UUID, sources: Sequence[str]
) -> dict[str, UUID]:
    """Those of `sources` that there are, held until the transaction ends. Documents come before
    their collection in every writer, in order of their ids, so that none waits in a circle: an edit
    of a row holds the row when its trigger comes to the collection."""
    rows = connection.execute(
        "select source, document_id from documents where collection_id = %s and source = any(%s) "
        "order by document_id for no key update",
        (collection_id, list(sources)),
    )
    return dict(rows.fetchall())


def _collection_of(connection: psycopg.Connection[Any], document_id: UUID) -> UUID | None:
    """The document's collection, where the caller may see it."""
    row = connection.execute("select collection_of(%s)", (document_id,)).fetchone()
    assert row is not None
    found: UUID | None = row[0]
    return found
