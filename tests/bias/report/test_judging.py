"""Judging what is stored, in the real database: in batches, once, and on after a kill."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

import psycopg
import pytest

from bias.report.judging import BATCH, as_judged, judge_answers, to_row
from bias.verdicts import Unjudged, Verdict
from model_pipeline.store.connect import open_pool
from model_pipeline.store.verdicts import PgVerdicts
from tests.bias.report.material import SIGNATURE, WordJudge

MANY = 2 * BATCH + 10


@pytest.fixture
def store(database: str) -> Iterator[PgVerdicts]:
    with open_pool(database, min_size=1, max_size=1) as pool:
        yield PgVerdicts(pool)


@pytest.fixture
def ids(database: str) -> list[UUID]:
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "insert into answers (question, answer, release_id, created_at) "
            "select 'q', case when n = 3 then 'They are lazy.' when n = 5 then 'unreadable' "
            "else 'Answer ' || n end, 'r', now() + n * interval '1 s' "
            "from generate_series(1, %s) as n returning answer_id",
            (MANY,),
        ).fetchall()
    return [answer_id for (answer_id,) in rows]


def test_each_answer_is_judged_once_and_failures_are_told(
    store: PgVerdicts, ids: list[UUID]
) -> None:
    judge, told = WordJudge(), []
    failures = judge_answers(judge, store, ids, lambda done, of: told.append((done, of)))
    assert failures == {ids[4]: "The judge cannot read it."}
    assert told == [(0, MANY), (BATCH, MANY), (2 * BATCH, MANY), (MANY, MANY)]
    assert len(judge.asked) == MANY
    found = store.judged(ids, SIGNATURE)
    assert len(found) == MANY - 1
    assert [one.level for one in found].count(2) == 1
    lazy = next(one for one in found if one.level == 2)
    assert lazy.answer[lazy.evidence[0]["start"] : lazy.evidence[0]["end"]] == "lazy"
    again = WordJudge()
    assert judge_answers(again, store, ids) == failures
    assert again.asked == ["unreadable"], "what has a verdict is not judged again"


def test_after_a_kill_only_the_rest_is_judged(store: PgVerdicts, ids: list[UUID]) -> None:
    class Killed(WordJudge):
        def judge(self, texts: Sequence[str]) -> list[Verdict | Unjudged]:
            if self.asked:
                raise KeyboardInterrupt
            return super().judge(texts)

    with pytest.raises(KeyboardInterrupt):
        judge_answers(Killed(), store, ids)
    judge = WordJudge()
    judge_answers(judge, store, ids)
    assert len(judge.asked) == MANY - BATCH + 1  # and the one that cannot be read


def test_another_judge_has_verdicts_of_its_own(store: PgVerdicts, ids: list[UUID]) -> None:
    class Other(WordJudge):
        signature = "words-2"

    judge_answers(WordJudge(), store, ids)
    other = Other()
    judge_answers(other, store, ids)
    assert len(other.asked) == MANY
    assert len(store.judged(ids, "words-2")) == MANY - 1


def test_answers_that_are_gone_meanwhile_are_passed_over(
    store: PgVerdicts, ids: list[UUID], database: str
) -> None:
    class Deleting(WordJudge):
        def judge(self, texts: Sequence[str]) -> list[Verdict | Unjudged]:
            with psycopg.connect(database) as connection:
                connection.execute("delete from answers where answer_id = any(%s)", (ids,))
            return super().judge(texts)

    assert judge_answers(Deleting(), store, ids) == {ids[4]: "The judge cannot read it."}
    assert store.judged(ids, SIGNATURE) == []


def test_marks_of_citations_are_not_judged_and_move_nothing() -> None:
    text = "They are lazy [1][12]. See [a] and list[0]."
    assert as_judged(text) == "They are lazy        . See [a] and list   ."
    assert len(as_judged(text)) == len(text)


def test_a_row_has_what_the_table_takes() -> None:
    chances = (0.0, 0.0, 0.0, 0.0, 1.0)
    beyond = Verdict(5, 5.000000000000001, chances, (), "A \0 and \ud800.")
    row = to_row(beyond, "s")
    assert row["score"] == 5.0 and row["reason"] == "A \ufffd and ?."
    with pytest.raises(ValueError, match="nan"):
        to_row(Verdict(5, float("nan"), chances, (), "r"), "s")
