"""What was asked and what was said of it: whose it is, and what may be changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from model_pipeline.domain import Caller
from model_pipeline.store.caller import BECOME, to_settings

ADA, BOB = uuid4(), uuid4()
Run = Callable[..., list[tuple[Any, ...]]]
ASK = "insert into answers (question, answer, release_id) values (%s, 'a', 'r') returning answer_id"
RATE = "insert into feedback (answer_id, rating) values (%s, 'up') returning feedback_id"


@pytest.fixture
def run(database: str) -> Run:
    """Runs a statement as a user, as anybody ("anon"), or as the tables' owner (None)."""

    def execute(who: UUID | str | None, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(database) as connection:
            if who == "anon":
                connection.execute(BECOME, to_settings(Caller()))
            elif who:
                connection.execute(BECOME, to_settings(Caller("authenticated", {"sub": str(who)})))
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else [(cursor.rowcount,)]

    return execute


def test_a_question_and_its_feedback_are_their_authors_alone(run: Run) -> None:
    ((answer,),) = run(ADA, ASK, "mine")
    ((unsigned,),) = run(None, ASK, "nobody's")
    run(ADA, RATE, answer)
    assert run(ADA, "select question, user_id from answers") == [("mine", ADA)]
    for view in ("answers", "feedback", "loadable_pairs", "loadable_feedback"):
        assert len(run(ADA, f"select * from {view}")) == 1
        assert run(BOB, f"select * from {view}") == []
        with pytest.raises(InsufficientPrivilege):
            run("anon", f"select * from {view}")
    for another in (answer, unsigned):
        with pytest.raises(InsufficientPrivilege):
            run(BOB, RATE, another)
    assert run(BOB, "update feedback set rating = 'down'") == [(0,)]
    assert run(BOB, "delete from feedback") == [(0,)]


@pytest.mark.parametrize(
    "forged",
    [
        "insert into answers (question, answer, release_id, user_id) values ('q', 'a', 'r', %s)",
        "insert into answers (question, answer, release_id, created_at) "
        "select 'q', 'a', %s, now() - interval '1 day'",
        "update answers set answer = %s",
        "delete from answers where release_id <> %s",
        "update feedback set user_id = %s",
        "update feedback set updated_at = now() - interval '1 day' where comment <> %s",
    ],
)
def test_what_an_author_may_not_do(run: Run, forged: str) -> None:
    ((answer,),) = run(ADA, ASK, "mine")
    run(ADA, RATE, answer)
    with pytest.raises(InsufficientPrivilege):
        run(ADA, forged, str(BOB) if "user_id" in forged else "x")


def test_a_change_is_stamped_and_the_reference_follows(run: Run) -> None:
    reference = "select rating, reference from loadable_pairs"
    ((answer,),) = run(ADA, ASK, "mine")
    assert run(ADA, reference) == [(None, None)]
    run(ADA, RATE, answer)
    assert run(ADA, reference) == [("up", "a")]
    ((before,),) = run(ADA, "select updated_at from feedback")
    run(ADA, "update feedback set rating = 'down'")
    assert run(ADA, reference) == [("down", None)]
    run(ADA, "update feedback set corrected_answer = 'b'")
    assert run(ADA, reference) == [("down", "b")]
    ((after, pair),) = run(ADA, "select f.updated_at, p.updated_at from feedback as f, "
                                "loadable_pairs as p")  # fmt: skip
    assert before < after == pair
    with pytest.raises(psycopg.errors.UniqueViolation):
        run(ADA, RATE, answer)
    with pytest.raises(psycopg.errors.CheckViolation):  # says nothing
        run(ADA, "update feedback set rating = null, corrected_answer = null")


@pytest.mark.parametrize("table", ["answers", "feedback"])
def test_an_export_by_date_reads_an_index(run: Run, table: str) -> None:
    run(None, "insert into answers (question, answer, release_id, created_at) "
              "select 'q', 'a', 'r', now() - n * interval '1 hour' "
              "from generate_series(1, 5000) as n")  # fmt: skip
    run(None, "insert into feedback (answer_id, rating, updated_at) "
              "select answer_id, 'up', created_at from answers")  # fmt: skip
    run(None, f"analyze {table}")
    column = {"answers": "created_at", "feedback": "updated_at"}[table]
    ((plan,),) = run(None, f"explain (format json) select * from {table} "
                           f"where {column} > now() - interval '1 day'")  # fmt: skip
    assert f"{table}_{column}" in json.dumps(plan)
