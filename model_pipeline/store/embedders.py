"""Whose vectors the store holds: the active embedder's, and during a switch a second one's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from psycopg.rows import class_row

from model_pipeline.errors import ConfigurationError, EmbedderMismatch

MAX_DIMENSIONS = 4000  # of a halfvec that HNSW indexes


@dataclass(frozen=True, slots=True)
class StoredEmbedder:
    """`spec` is what opens it, as PROMPTLY_EMBEDDER has it."""

    name: str
    dimensions: int
    spec: str
    state: Literal["active", "next", "previous"]


def stored_embedders(connection: psycopg.Connection[Any]) -> list[StoredEmbedder]:
    """The active one first; at most one other."""
    with connection.cursor(row_factory=class_row(StoredEmbedder)) as cursor:
        cursor.execute(
            "select name, dimensions, coalesce(spec, name) as spec, state from embedder "
            "order by active desc"
        )
        return cursor.fetchall()


def active_embedder(connection: psycopg.Connection[Any]) -> tuple[str, int] | None:
    return connection.execute("select name, dimensions from embedder where active").fetchone()


def require_embedder(connection: psycopg.Connection[Any], made_by: tuple[str, int] | None) -> None:
    """Hold the active embedder in place until the transaction ends."""
    row = connection.execute("select * from hold_embedder()").fetchone()
    if made_by and row != made_by:
        raise EmbedderMismatch(
            f"Another program put {row[0] if row and row[0] else 'no embedder'} in place of "
            f"{made_by[0]} meanwhile: start again."
        )


def register(connection: psycopg.Connection[Any], name: str, dimensions: int, spec: str) -> None:
    """Note whose vectors the store holds; raises EmbedderMismatch when they are another's.

    An empty store takes any embedder, and fits its vector column to it. Raises ConfigurationError
    for vectors too wide to be indexed.
    """
    require_indexable(name, dimensions)
    if active_embedder(connection) == (name, dimensions):
        return
    with connection.transaction():
        connection.execute("lock table embedder in exclusive mode")
        known = stored_embedders(connection)
        if known and (known[0].name, known[0].dimensions) == (name, dimensions):
            return
        filled = connection.execute("select exists (select from chunks)").fetchone()
        if known and (len(known) > 1 or (filled and filled[0])):
            raise EmbedderMismatch(
                f"The stored vectors were made by {known[0].name}, and {name} is set: unset "
                f"PROMPTLY_EMBEDDER to go on with it, or switch with `promptly reembed --model "
                f"{spec}`."
            )
        note(connection, name, dimensions, spec)


def note(connection: psycopg.Connection[Any], name: str, dimensions: int, spec: str) -> None:
    """Make it the active embedder of a store without vectors."""
    connection.execute("delete from embedder")
    width = connection.execute(
        "select atttypmod from pg_attribute "
        "where attrelid = 'chunks'::regclass and attname = 'embedding'"
    ).fetchone()
    if width and width[0] != dimensions:
        connection.execute(
            "alter table chunks alter column embedding set storage main, "
            f"alter column embedding type extensions.halfvec({int(dimensions)})"
        )
    connection.execute(
        "insert into embedder (name, dimensions, spec) values (%s, %s, %s)",
        (name, dimensions, spec),
    )


def require_indexable(name: str, dimensions: int) -> None:
    if not 0 < dimensions <= MAX_DIMENSIONS:
        raise ConfigurationError(
            f"{name} makes vectors of {dimensions} dimensions, and the database indexes at most "
            f"{MAX_DIMENSIONS}: set PROMPTLY_EMBEDDER to another."
        )
