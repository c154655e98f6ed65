"""What training data is made of, row by row through either door: passages, answers that were
corrected or liked, and every frozen test set, which nothing may be learnt of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from model_pipeline.evaluation.asked import AskedRow
from model_pipeline.evaluation.examples import TestSet
from model_pipeline.evaluation.test_sets import from_rows
from model_pipeline.load_data import patiently
from model_pipeline.store.doors import Door, Selection

ROWS = 1_000  # of one page, as many as Supabase's API gives
TEST_SETS = 4  # the same; one may hold megabytes

PASSAGES = Selection("loadable_chunks", "chunk_id", ("chunk_id", "collection", "source", "content"))
RATED = Selection(
    "loadable_rated",
    "answer_id",
    (
        "answer_id", "question", "answer", "declined", "citations", "rating", "corrected_answer",
        "collection", "history", "created_at",
    ),
)  # fmt: skip
FROZEN = Selection("loadable_test_sets", "test_set", ("test_set", "name", "examples"))


@dataclass(frozen=True, slots=True)
class StoredPassage:
    """A chunk of the document `source`."""

    collection: str
    source: str
    content: str


@dataclass(frozen=True, slots=True)
class RatedRow:
    asked: AskedRow
    answer_id: str
    said_at: datetime


def passages(door: Door, collection: str | None = None) -> Iterator[StoredPassage]:
    """In no order that means anything. Raises StoreUnavailable."""
    for row in _rows(door, replace(PASSAGES, collection=collection), ROWS):
        yield StoredPassage(row["collection"], row["source"], row["content"])


def rated(door: Door, collection: str | None = None) -> Iterator[RatedRow]:
    """Answers to what was asked of this collection, or of any. Raises StoreUnavailable."""
    for row in _rows(door, replace(RATED, collection=collection), ROWS):
        cited = {one.get("source") for one in json.loads(row["citations"])}
        asked = AskedRow(
            row["question"],
            row["answer"],
            row["declined"],
            sorted(filter(None, cited)),
            row["rating"],
            row["corrected_answer"],
            row["collection"],
            json.loads(row["history"]),
        )
        yield RatedRow(asked, str(row["answer_id"]), _moment(row["created_at"]))


def test_sets(door: Door) -> list[TestSet]:
    """All versions of all. Raises Forbidden where they are not there to read."""
    return [
        from_rows(row["name"], json.loads(row["examples"]))
        for row in _rows(door, FROZEN, TEST_SETS)
    ]


test_sets.__test__ = False  # type: ignore[attr-defined]  # pytest goes by the name


def _rows(door: Door, selection: Selection, limit: int) -> Iterator[dict[str, Any]]:
    """Those that were there when it began."""
    _, changed = patiently(lambda: door.extent(selection))
    newest = _moment(changed).isoformat() if changed else ""
    after: str | None = None
    while newest:
        last = after
        page = patiently(lambda: door.page(selection, newest=newest, after=last, limit=limit))  # noqa: B023 - called at once
        if not page:
            return
        yield from page
        after = str(page[-1][selection.key])


def _moment(time: str | datetime) -> datetime:
    """Doors give text, or what it stands for."""
    found = datetime.fromisoformat(time) if isinstance(time, str) else time
    return found.astimezone(UTC)
