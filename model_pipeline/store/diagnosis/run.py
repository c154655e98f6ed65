"""The checks in order, each mended before the next looks: an index before the planner, orphans
before the statistics that count them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from model_pipeline.errors import PromptlyError, StoreUnavailable
from model_pipeline.store.connect import connect
from model_pipeline.store.diagnosis import contents, schema, server
from model_pipeline.store.diagnosis.verdict import State, Subject, Verdict, error

Look = Callable[[Subject], Verdict]
Mend = Callable[[Subject], str]

CHECKS: tuple[tuple[Look, Mend | None], ...] = (
    (server.connections, None),
    (server.clock, None),
    (server.pooler, None),
    (server.pgvector, None),
    (schema.schema, schema.mend_schema),
    (schema.row_level_security, schema.mend_row_level_security),
    (schema.indexes, schema.mend_indexes),
    (schema.operator_class, schema.mend_operator_class),
    (schema.rights, None),
    (contents.store, None),
    (contents.vectors, None),
    (contents.switch, None),
    (contents.orphans, contents.mend_orphans),
    (contents.statistics, contents.mend_statistics),
    (contents.planner_statistics, contents.mend_planner_statistics),
    (contents.planner, None),
)
# Unless these are well, the rest would only say the same again in other words.
FIRST = (schema.schema, schema.rights)


@dataclass(frozen=True, slots=True)
class Finding:
    """A check's verdict, after mending where that was done; `mended` says what."""

    name: str
    state: State
    detail: str
    fixable: bool = False
    mended: str = ""


def diagnose(
    conninfo: str, *, embedder: tuple[str, int] | None = None, deep: bool = False, fix: bool = False
) -> Iterator[Finding]:
    """`embedder` is (name, dimensions) of the one that is set; `deep` reads every row of a large
    store too; `fix` mends what is safe. Raises StoreUnavailable, ConfigurationError for a URL
    that lets nobody in."""
    with _connection(conninfo) as connection:
        subject = Subject(conninfo, connection, embedder, deep)
        for look, mend in CHECKS:
            finding = _examine(subject, look, mend if fix else None)
            yield finding
            if look in FIRST and finding.state != "ok":
                return


@contextmanager
def _connection(conninfo: str) -> Iterator[psycopg.Connection[Any]]:
    try:
        connection = connect(conninfo)
    except PromptlyError as failed:
        if server.EXHAUSTED.search(failed.message):
            raise StoreUnavailable(
                f"The database's connections are exhausted: {server.MORE_CONNECTIONS}."
            ) from failed
        raise
    with connection:
        yield connection


def _examine(subject: Subject, look: Look, mend: Mend | None) -> Finding:
    name = look.__name__.replace("_", " ")
    verdict = _look(subject, look)
    mended = ""
    if verdict.fixable and mend:
        try:
            mended = mend(subject)
        except PromptlyError as failed:
            detail = f"{verdict.detail} It could not be mended: {failed.message}"
            return Finding(name, verdict.state, detail, verdict.fixable)
        verdict = _look(subject, look)
    return Finding(name, verdict.state, verdict.detail, verdict.fixable, mended)


def _look(subject: Subject, look: Look) -> Verdict:
    """What the database refuses to tell is a finding too, not the end."""
    try:
        return look(subject)
    except PromptlyError as failed:
        if subject.connection.broken:
            raise
        return error(failed.message)
