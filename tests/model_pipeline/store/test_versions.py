"""Versions and their ledger: entered once, never changed; what is in production is told by it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import psycopg
import pytest

from model_pipeline.errors import Conflict, InvalidInput, NotFound
from model_pipeline.store.connect import open_pool
from model_pipeline.store.versions import (
    Action,
    Entry,
    ModelVersion,
    PgVersions,
    in_production,
)

WHY = {"reason": "better", "by": "me"}


def version(n: int, repo: str = "me/answers") -> ModelVersion:
    return ModelVersion(
        repo, f"v{n}", f"{n:040x}", "adapter", f"me/base@{'b' * 40}", f"{n:064x}", "d" * 64
    )


@pytest.fixture
def versions(database: str) -> Iterator[PgVersions]:
    with open_pool(database, min_size=1, max_size=4) as pool:
        yield PgVersions(pool)


def told(versions: PgVersions) -> list[tuple[int, str, str, str, str]]:
    return [
        (one.entry, one.tag, one.action, one.reason, one.made_by)
        for one in versions.entries("me/answers")
    ]


def test_a_version_is_recorded_once(versions: PgVersions) -> None:
    for n in (10, 9):  # of tags the number decides
        versions.record(version(n), **WHY)
    versions.record(version(9), reason="again", by="somebody else")
    versions.record(version(1, "me/other"), **WHY)
    assert versions.versions("me/answers") == [version(9), version(10)]
    assert len(versions.versions()) == 3
    assert versions.version("me/answers", "v9") == version(9)
    assert versions.version("me/answers", version(10).commit) == version(10)
    assert told(versions) == [(1, "v10", "published", "better", "me"),
                              (2, "v9", "published", "better", "me")]  # fmt: skip
    with pytest.raises(NotFound, match="no version v3 of me/answers; known are: v9, v10"):
        versions.version("me/answers", "v3")
    with pytest.raises(NotFound, match="promptly models publish"):
        versions.version("me/none", "v1")


def test_one_tag_has_one_commit(versions: PgVersions) -> None:
    versions.record(version(1), **WHY)
    with pytest.raises(Conflict, match="me/answers@v1 is recorded already with another commit"):
        versions.record(replace(version(1), commit="f" * 40), **WHY)
    assert told(versions) == [(1, "v1", "published", "better", "me")]
    with pytest.raises(InvalidInput):
        versions.record(replace(version(2), repo="me/answers\0"), **WHY)


def test_what_is_in_production_is_entered_once(versions: PgVersions) -> None:
    for n in (1, 2):
        versions.record(version(n), **WHY)
    assert versions.point(version(1), "promoted", **WHY)
    assert not versions.point(version(1), "promoted", reason="again", by="me")
    with ThreadPoolExecutor(4) as threads:
        moved = list(threads.map(lambda _: versions.point(version(2), "promoted", **WHY), range(4)))
    assert sorted(moved) == [False, False, False, True]
    assert [one[1:3] for one in told(versions)] == [
        ("v1", "published"), ("v2", "published"), ("v1", "promoted"), ("v2", "promoted"),
    ]  # fmt: skip
    assert [one[0] for one in told(versions)] == [1, 2, 3, 4]


@pytest.mark.parametrize("table", ["model_versions", "model_ledger"])
def test_nothing_is_changed_or_taken_back(versions: PgVersions, database: str, table: str) -> None:
    versions.record(version(1), **WHY)
    with psycopg.connect(database, autocommit=True) as connection:
        for statement in (f"update {table} set repo = 'a/b'", f"delete from {table}"):
            with pytest.raises(psycopg.errors.RaiseException, match="never changes"):
                connection.execute(statement)


def entry(n: int, commit: str, action: Action) -> Entry:
    return Entry(n, "me/answers", "v1", commit, action, "", "", datetime.now(UTC))


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("", ""),
        ("+A +B +C", "ABC"),
        ("+A +B <A", "A"),
        ("+A +B +C <B", "AB"),
        ("+A +B +C <B <A", "A"),  # and not to C, which was left for a reason
        ("+A +B +C <A +C", "AC"),
        ("+A +B <C", "C"),  # to what was never there: nothing is behind it
        ("<A", "A"),
        ("+A +A", "A"),
        ("+A +B +A <B", "AB"),
    ],
)
def test_what_a_rollback_goes_back_through(said: str, left: str) -> None:
    entries = [entry(0, "A", "published")]
    for n, word in enumerate(said.split(), 1):
        entries.append(entry(n, word[1], "promoted" if word[0] == "+" else "rolled_back"))
    assert in_production(entries) == list(left)
