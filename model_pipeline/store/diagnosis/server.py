"""The server and the way to it: connections, clock, pooler, pgvector."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from model_pipeline.store.connect import connect, connection_arguments, translate_errors
from model_pipeline.store.diagnosis.verdict import Subject, Verdict, error, fine, warning
from model_pipeline.store.migrations import OLDEST_PGVECTOR

SOUND_PGVECTOR = (0, 8, 4)  # vacuum of an HNSW index is right since
MAX_SKEW_S = 5.0
MAX_USED = 0.8
# In the words of PostgreSQL, PgBouncer and Supabase's pooler.
EXHAUSTED = re.compile(
    r"too many (clients|connections)|connection slots|no more connections|max clients", re.I
)
MORE_CONNECTIONS = (
    "stop programs that hold some, lower PROMPTLY_POOL_SIZE, or raise max_connections"
)


def connections(subject: Subject) -> Verdict:
    ((used, idle, most),) = subject.rows("connections.sql")
    found = f"{used} of {most} in use"
    if used > MAX_USED * most:
        return warning(
            f"{found}, {idle} of them idle within a transaction, and soon nobody gets in: "
            f"{MORE_CONNECTIONS}."
        )
    return fine(found)


def clock(subject: Subject) -> Verdict:
    before = datetime.now(UTC)
    ((server,),) = subject.rows("select clock_timestamp()")
    return clock_verdict(before, server, datetime.now(UTC))


def clock_verdict(before: datetime, server: datetime, after: datetime) -> Verdict:
    """The server's clock was read at some moment between two readings of ours."""
    skew = max((before - server).total_seconds(), (server - after).total_seconds(), 0.0)
    if skew > MAX_SKEW_S:
        ahead = "behind" if server < before else "ahead of"
        return warning(
            f"The server's clock is {skew:.0f} s {ahead} this machine's, so that times and the "
            "expiry of tokens are wrong: let both be set by NTP."
        )
    return fine("as this machine's")


def pooler(subject: Subject) -> Verdict:
    """Two connections of ours, open at once, that are served by one and the same process are behind
    a transaction pooler."""
    if connection_arguments(subject.conninfo)["prepare_threshold"] is None:
        return fine("a transaction pooler: prepared statements are left out")
    query = "select pg_backend_pid()"
    with translate_errors(), connect(subject.conninfo) as other:
        mine = subject.connection.execute(query).fetchone()
        same = mine == other.execute(query).fetchone()
    if same:
        return error(
            f"Port {subject.connection.info.port} is a transaction pooler's, which loses prepared "
            "statements and settings: set PROMPTLY_DATABASE_URL to the database itself, to a "
            "session pooler, or mark the URL with ?pgbouncer=true: Promptly then goes without "
            "(prepare_threshold=None)."
        )
    return fine("none between, or one that keeps sessions apart")


def pgvector(subject: Subject) -> Verdict:
    rows = subject.rows(
        "select installed_version, default_version from pg_available_extensions "
        "where name = 'vector'"
    )
    oldest, sound = (".".join(map(str, version)) for version in (OLDEST_PGVECTOR, SOUND_PGVECTOR))
    if not rows:
        return error(f"The server has no pgvector: install version {oldest} or newer on it.")
    ((installed, offered),) = rows
    if installed is None:
        return error(
            "The extension vector is not in this database: `promptly db migrate` brings it into a "
            "new one; where it was dropped, the vectors went with it: restore a backup."
        )
    version = tuple(int(part) for part in re.findall(r"\d+", installed)[:3])
    if version >= SOUND_PGVECTOR:
        return fine(installed)
    newer = f"install {sound} or newer on the server, then " if offered == installed else ""
    update = f"{newer}run `alter extension vector update`."
    if version < OLDEST_PGVECTOR:
        return error(f"pgvector {installed} is too old, {oldest} or newer is needed: {update}")
    return warning(
        f"pgvector {installed} can damage the index over vectors when rows are deleted: {update}"
    )
