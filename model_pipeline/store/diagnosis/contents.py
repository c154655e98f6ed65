"""What is stored: whose vectors, rows without their other half, statistics, the planner's view."""

from __future__ import annotations

from datetime import UTC, datetime

from psycopg import sql

from model_pipeline.store.diagnosis.schema import tables
from model_pipeline.store.diagnosis.verdict import (
    Subject,
    Verdict,
    counted,
    error,
    fine,
    warning,
)
from model_pipeline.store.standby import look

LEFT_OUT = "not looked at, since it reads every row of a large store: `promptly doctor --deep`"
# Below, reading every vector is about as quick as the index.
MIN_CHUNKS_TO_PLAN = 5000
UNCONFIRMED_DAYS = 7


def store(subject: Subject) -> Verdict:
    ((collections, documents, chunks),) = subject.rows(
        "select (select count(*) from collections), (select count(*) from documents), "
        "(select coalesce(sum(chunk_count), 0)::bigint from collection_statistics)"
    )
    return fine(f"{collections} collections, {documents} documents, {chunks} chunks")


def vectors(subject: Subject) -> Verdict:
    ((filled, width),) = subject.rows(
        "select exists (select from chunks), (select atttypmod from pg_attribute "
        "where attrelid = 'chunks'::regclass and attname = 'embedding')"
    )
    known = subject.rows("select name, dimensions from embedder where state = 'active'")
    if not known and not filled:
        return fine("none yet: the first ingest notes its embedder")
    if not known:
        return warning(
            "It is not noted whose vectors are stored, and the next ingest notes the embedder that "
            "is set: first set PROMPTLY_EMBEDDER to the one that made them."
        )
    ((name, dimensions),) = known
    if width != dimensions:
        return error(
            f"The column chunks.embedding takes {width} dimensions, and {name} makes {dimensions}: "
            "ingest into an empty database."
        )
    if filled and subject.embedder and subject.embedder != (name, dimensions):
        return error(
            f"The stored vectors were made by {name}, and {subject.embedder[0]} is set: unset "
            "PROMPTLY_EMBEDDER to go on with them, or switch with `promptly reembed`."
        )
    return fine(f"{dimensions} dimensions, by {name}")


def switch(subject: Subject) -> Verdict:
    """To another embedder: under way, or done and not confirmed."""
    with subject.transaction() as connection:
        found = look(connection, counting=False)
    standby = found.standby
    if found.column != (standby is not None):
        has, lacks = ("column", "row") if found.column else ("row", "column")
        end = "confirm" if standby and standby.state == "previous" else "cancel"
        return error(
            f"A switch to another embedder has its {has} (chunks.embedding_standby, embedder) but "
            f"not its {lacks}: `promptly reembed {end}` clears it away."
        )
    if standby is None or found.since is None:
        return fine("none under way")
    days = (datetime.now(UTC) - found.since).days
    if standby.state == "next":
        if found.running:
            return fine(f"to {standby.name}, under way")
        return warning(
            f"The switch to {standby.name} was begun and stopped: `promptly reembed --model "
            f"{standby.spec}` goes on, `promptly reembed cancel` gives it up."
        )
    if days >= UNCONFIRMED_DAYS:
        return warning(
            f"The switch from {standby.name} was made {days} days ago and is not confirmed: "
            "`promptly reembed confirm` drops its vectors, which take their space."
        )
    if found.index != "valid":
        return warning(
            f"The index over the vectors of {standby.name} is {found.index}, so that a return to "
            "them first builds it: `promptly reembed confirm` where none is wanted."
        )
    return fine(f"from {standby.name}, {days} days ago, not confirmed yet")


def orphans(subject: Subject) -> Verdict:
    if not subject.readable():
        return fine(LEFT_OUT)
    ((lexemes, unindexed, lost, incomplete),) = subject.rows("orphans.sql", patient=True)
    if lexemes or unindexed:
        return error(
            f"{counted(lexemes, 'row')} of chunk_lexemes without a chunk and "
            f"{counted(unindexed, 'chunk')} that no word finds: `promptly doctor --fix` removes "
            "the former and indexes the latter.",
            fixable=True,
        )
    if lost:
        return error(
            f"{counted(lost, 'chunk')} without a document, which take places among the results: "
            "delete them from chunks, where document_id is in no row of documents."
        )
    if incomplete:
        return error(
            f"{counted(incomplete, 'document')} without some of the chunks: find them by "
            "documents.chunk_count, delete them with `promptly documents delete`, and ingest again."
        )
    return fine("none")


def mend_orphans(subject: Subject) -> str:
    subject.run("mend_orphans.sql")
    return "removed lexemes without a chunk, indexed chunks without lexemes"


def statistics(subject: Subject) -> Verdict:
    """BM25's, which triggers keep."""
    if not subject.readable():
        return fine(LEFT_OUT)
    ((collections, lexemes),) = subject.rows("drift.sql", patient=True)
    if collections or lexemes:
        return error(
            f"The word statistics of {counted(collections, 'collection')} and "
            f"{counted(lexemes, 'lexeme')} are not what the chunks say, so that scores are wrong: "
            "`promptly doctor --fix` counts them anew; writers wait that long.",
            fixable=True,
        )
    return fine("exact")


def mend_statistics(subject: Subject) -> str:
    subject.run("rebuild_statistics.sql")
    return "counted anew from chunk_lexemes"


def planner_statistics(subject: Subject) -> Verdict:
    outdated = _outdated(subject)
    if outdated:
        return warning(
            f"The planner's statistics of {', '.join(outdated)} are out of date, so that it may "
            f"choose slow plans: `analyze {', '.join(outdated)}`, and see that autovacuum runs.",
            fixable=True,
        )
    return fine("fresh")


def mend_planner_statistics(subject: Subject) -> str:
    outdated = _outdated(subject)
    with subject.transaction(patient=True) as connection:
        for table in outdated:
            connection.execute(sql.SQL("analyze {}").format(sql.Identifier(table)))
    return f"analyzed {', '.join(outdated)}"


def planner(subject: Subject) -> Verdict:
    ((chunks,),) = subject.rows(
        f"select count(*) from (select from chunks limit {MIN_CHUNKS_TO_PLAN:d}) as few"  # noqa: S608
    )
    if chunks < MIN_CHUNKS_TO_PLAN:
        return fine(f"not asked: under {MIN_CHUNKS_TO_PLAN} chunks any plan will do")
    with subject.transaction() as connection:
        connection.execute("set local enable_seqscan = off")  # as the search does
        plan = "\n".join(line for (line,) in subject.rows("nearest.sql"))
    if "Index Scan using" not in plan or "Order By: (embedding <#>" not in plan:
        return error(
            "The planner answers a nearest-neighbour query without the index over vectors "
            "(chunks_embedding), which is slow: mend what is said of indexes above, and take back "
            "settings such as enable_indexscan=off or a high random_page_cost from the database or "
            "its user."
        )
    return fine("uses the index over vectors")


def _outdated(subject: Subject) -> list[str]:
    return [name for (name,) in subject.rows("outdated_tables.sql", {"tables": tables()})]
