"""Frozen test sets: versions in the database, files beside it, and nothing that changes unseen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from model_pipeline.errors import InvalidInput, NotFound
from model_pipeline.evaluation.examples import Example, TestSet
from model_pipeline.evaluation.test_sets import TestSets
from model_pipeline.store.connect import open_pool
from model_pipeline.store.evaluations import PgEvaluations

ONE = Example("1", "Ünicode? 🙂", references=("Yes.",), relevant={"zz": 1, "a": 2},
              answerable=True, tags={"topic": "x", "b": "y"})  # fmt: skip
TWO = Example("2", "Two?", answerable=False)
SET = TestSet("small", (ONE, TWO))
MADE = {"from": "here", "seed": 3}


@pytest.fixture
def records(database: str) -> Iterator[PgEvaluations]:
    with open_pool(database, min_size=1, max_size=4) as pool:
        yield PgEvaluations(pool)


@pytest.fixture
def test_sets(records: PgEvaluations, tmp_path: Path) -> TestSets:
    return TestSets(tmp_path, records)


def test_a_frozen_set_comes_back_and_versions_count_up(test_sets: TestSets, tmp_path: Path) -> None:
    first = test_sets.freeze(SET, MADE)
    assert (first.version, first.n, first.made) == (1, 2, MADE)
    assert first.test_set_hash == SET.content_hash()
    assert test_sets.load("small").test_set == SET
    assert test_sets.freeze(SET, {"from": "elsewhere"}) == first  # the same: no new version
    second = test_sets.freeze(TestSet("small", (ONE,)), MADE)
    assert second.version == 2
    assert test_sets.load("small").manifest == second
    assert test_sets.load("small@v1").test_set == SET
    assert test_sets.load("small@2").manifest == second
    assert test_sets.manifests() == [first, second]
    files = sorted(path.name for path in (tmp_path / "small").iterdir())
    assert files == ["v1.json", "v1.jsonl", "v2.json", "v2.jsonl"]
    assert json.loads((tmp_path / "small/v1.json").read_text())["sha256"] == first.sha256


def test_a_file_that_was_changed_is_found_out_and_one_that_is_gone_is_written_anew(
    test_sets: TestSets,
) -> None:
    path = test_sets.path(test_sets.freeze(SET, MADE))
    before = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(before.replace(b"Two?", b"Too?"))
    with pytest.raises(InvalidInput, match="was changed after it was frozen"):
        test_sets.load("small")
    path.unlink()
    assert test_sets.load("small").test_set == SET
    assert path.read_bytes() == before


def test_a_draft_is_edited_and_then_frozen(test_sets: TestSets) -> None:
    path = test_sets.draft(SET, MADE)
    path.write_text(path.read_text().replace("Two?", "Three?"))
    frozen = test_sets.freeze_draft("small")
    assert frozen.made == {**MADE, "edited": True}
    assert [one.question for one in test_sets.load("small").test_set.examples] == [
        ONE.question, "Three?",
    ]  # fmt: skip
    assert not path.exists()
    with pytest.raises(NotFound, match="no draft of small"):
        test_sets.freeze_draft("small")
    test_sets.draft(SET, MADE)
    assert test_sets.freeze_draft("small").made == {**MADE, "edited": False}


def test_what_is_not_there_and_names_that_are_none(test_sets: TestSets) -> None:
    test_sets.freeze(SET, MADE)
    for reference in ("other", "small@v2"):
        with pytest.raises(NotFound, match=f"no test set {reference}"):
            test_sets.load(reference)
    for name in ("", "../up", "Big", "a/b", "x" * 65, ".hidden", "a\nb"):
        with pytest.raises(InvalidInput, match="cannot be a test set's name"):
            test_sets.freeze(TestSet(name, (ONE,)), {})
        with pytest.raises(InvalidInput, match="cannot be a test set's name"):
            test_sets.load(name or "@v1")


def test_who_freezes_at_once_gets_a_version_each_or_shares_one(test_sets: TestSets) -> None:
    sets = [TestSet("busy", (Example(str(n % 4), "Q?"),)) for n in range(8)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda one: test_sets.freeze(one, {}), sets))
    assert len({one.version for one in found}) == len(test_sets.manifests()) >= 4
    assert sorted(one.version for one in test_sets.manifests()) == list(
        range(1, len(test_sets.manifests()) + 1)
    )


def test_rows_never_change(test_sets: TestSets, records: PgEvaluations, database: str) -> None:
    test_sets.freeze(SET, MADE)
    records.keep_scorecard("r", SET.content_hash(), '{"b": 1.10, "a": "\\u0000\\ud800"}\n')
    with psycopg.connect(database, autocommit=True) as connection:
        for statement in (
            "update test_sets set examples = '[]'",
            "update scorecards set hash = ''",
        ):
            with pytest.raises(psycopg.errors.RaiseException, match="never changes"):
                connection.execute(statement)


def test_a_scorecard_is_kept_once_to_the_letter(records: PgEvaluations) -> None:
    text = '{"b": 1.10, "a": "\\u0000\\ud800", "b2": 1e-7}\n'
    for _ in range(2):
        records.keep_scorecard("r", "h1", text)
    records.keep_scorecard("r", "h2", "{}")
    (kept,) = records.scorecards(test_set_hash="h1")
    assert (kept.release_id, records.scorecard(kept.scorecard_id)) == ("r", text)
    assert len(records.scorecards()) == 2
    with pytest.raises(NotFound, match="no scorecard"):
        records.scorecard("x")


def test_nobody_else_sees_a_row(test_sets: TestSets, records: PgEvaluations, database: str) -> None:
    test_sets.freeze(SET, MADE)
    records.keep_scorecard("r", "h", "{}")
    with psycopg.connect(database, autocommit=True) as connection:
        for table in ("test_sets", "scorecards"):
            for role in ("anon", "authenticated"):
                connection.execute(f"set role {role}")
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(f"select from {table}")
                connection.execute("reset role")
            connection.execute("set role service_role")
            assert connection.execute(f"select count(*) from {table}").fetchone() == (1,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"update {table} set hash = ''")
            connection.execute("reset role")
