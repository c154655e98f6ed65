"""Verdicts, reviews and reports in the real database: who sees and says what, and what stays."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from model_pipeline.domain import Caller
from model_pipeline.errors import NotFound, Unauthorized
from model_pipeline.store.connect import open_pool
from model_pipeline.store.verdicts import PgReviews, PgVerdicts

ANNA, BERT = uuid4(), uuid4()
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def pool(database: str) -> Iterator[ConnectionPool[psycopg.Connection[Any]]]:
    with open_pool(database, min_size=1, max_size=2) as opened:
        yield opened


@pytest.fixture
def store(pool: ConnectionPool[psycopg.Connection[Any]]) -> PgVerdicts:
    return PgVerdicts(pool)


def caller(user_id: UUID) -> Caller:
    return Caller("authenticated", {"sub": str(user_id), "role": "authenticated"})


def put_answer(database: str, whose: UUID | None = None, **more: Any) -> UUID:
    row = {
        "user_id": whose, "question": "What?", "answer": "All of them lie.", "release_id": "r1",
        "created_at": NOON, **more,
    }  # fmt: skip
    names = ", ".join(row)
    marks = ", ".join(["%s"] * len(row))
    with psycopg.connect(database) as connection:
        found = connection.execute(
            f"insert into answers ({names}) values ({marks}) returning answer_id",
            list(row.values()),
        ).fetchone()
    assert found
    return UUID(str(found[0]))


def verdict(answer_id: UUID, level: int = 2, **more: Any) -> dict[str, Any]:
    return {
        "answer_id": str(answer_id), "signature": "judge-1", "level": level, "score": level + 0.25,
        "probabilities": [0.1, 0.6, 0.1, 0.1, 0.1], "reason": "It generalises.", "sure": True,
        "evidence": [{"start": 0, "end": 3, "dimension": "stereotyping"}],
        "dimension": "stereotyping", **more,
    }  # fmt: skip


def test_verdicts_are_kept_once_and_never_change(store: PgVerdicts, database: str) -> None:
    answer_id, gone = put_answer(database, ANNA), uuid4()
    assert store.unjudged([answer_id], "judge-1") == [answer_id]
    store.keep([verdict(answer_id), verdict(gone)])
    store.keep([verdict(answer_id, level=4)])
    assert store.unjudged([answer_id, gone], "judge-1") == []
    assert store.unjudged([answer_id], "judge-2") == [answer_id]
    [found] = store.judged([answer_id], "judge-1")
    assert (found.level, found.score, found.answer) == (2, 2.25, "All of them lie.")
    assert list(found.probabilities) == [0.1, 0.6, 0.1, 0.1, 0.1]
    assert found.evidence == [{"start": 0, "end": 3, "dimension": "stereotyping"}]
    with (
        psycopg.connect(database) as connection,
        pytest.raises(psycopg.errors.RaiseException, match="never changes"),
    ):
        connection.execute("update verdicts set level = 5")


def test_answers_of_a_period_with_what_became_of_them(store: PgVerdicts, database: str) -> None:
    shown = put_answer(database)
    put_answer(database, created_at=NOON - DAY)
    put_answer(database, created_at=NOON + DAY, declined=True, collection="c")
    put_answer(database, created_at=NOON + 2 * DAY, bias=Jsonb({"withheld": True}))
    found = store.given(NOON, NOON + 3 * DAY)
    assert [(one.day, one.collection, one.declined, one.withheld) for one in found] == [
        ("2026-03-04", "", False, False),
        ("2026-03-05", "c", True, False),
        ("2026-03-06", "", False, True),
    ]
    assert found[0].answer_id == shown
    assert store.given(NOON, NOON) == []
    assert store.texts([shown, uuid4()]) == {shown: "All of them lie."}


def test_an_answer_goes_with_its_verdicts_and_reviews(
    store: PgVerdicts, pool: ConnectionPool[psycopg.Connection[Any]], database: str
) -> None:
    answer_id = put_answer(database)
    store.keep([verdict(answer_id)])
    PgReviews(pool).review(answer_id, level=4, comment=None, signature=None)
    with psycopg.connect(database) as connection:
        connection.execute("delete from answers")
        row = connection.execute(
            "select (select count(*) from verdicts) + (select count(*) from reviews)"
        ).fetchone()
    assert row == (0,)


def test_who_got_the_answer_sees_and_reviews_its_verdict(
    store: PgVerdicts, pool: ConnectionPool[psycopg.Connection[Any]], database: str
) -> None:
    annas, nobodys = put_answer(database, ANNA), put_answer(database)
    store.keep([verdict(annas), verdict(nobodys)])
    anna, bert, nobody = (
        PgReviews(pool, caller(ANNA)),
        PgReviews(pool, caller(BERT)),
        PgReviews(pool),
    )
    operator = PgReviews(pool, everybody=True)
    confirmed = anna.review(annas, level=None, comment=None, signature=None)
    assert (confirmed.level, confirmed.confirms, confirmed.user_id) == (2, True, ANNA)
    contested = anna.review(annas, level=4, comment="It quotes.", signature="judge-1")
    assert (contested.level, contested.judged, contested.confirms) == (4, 2, False)
    own = operator.review(annas, level=1, comment=None, signature=None)
    assert own.user_id is None
    [(_, said)] = anna.verdicts(annas)
    assert [one.review_id for one in said] == [confirmed.review_id, contested.review_id]
    [(_, all_said)] = operator.verdicts(annas)
    assert len(all_said) == 3
    for other, theirs in ((bert, annas), (nobody, annas), (anna, nobodys)):
        with pytest.raises(NotFound, match="no verdict"):
            other.verdicts(theirs)
        with pytest.raises(NotFound, match="no verdict"):
            other.review(theirs, level=1, comment=None, signature=None)
    with pytest.raises(Unauthorized):
        PgReviews(pool, Caller("anon")).verdicts(annas)
    with pytest.raises(NotFound):
        anna.review(annas, level=1, comment=None, signature="another")
    assert nobody.review(nobodys, level=3, comment=None, signature=None).user_id is None


def test_the_last_word_of_each_author_counts(
    store: PgVerdicts, pool: ConnectionPool[psycopg.Connection[Any]], database: str
) -> None:
    answer_id, other = put_answer(database, ANNA), put_answer(database, BERT)
    store.keep([verdict(answer_id), verdict(other), verdict(other, signature="judge-2")])
    anna, operator = PgReviews(pool, caller(ANNA)), PgReviews(pool, everybody=True)
    for level in (1, 5, 4):
        anna.review(answer_id, level=level, comment=None, signature=None)
    operator.review(answer_id, level=3, comment=None, signature=None)
    operator.review(other, level=2, comment=None, signature="judge-2")
    found = {(one.answer_id, one.user_id): one.level for one in store.last_words()}
    assert found == {(answer_id, ANNA): 4, (answer_id, None): 3, (other, None): 2}
    assert len(store.last_words(signature="judge-1")) == 2
    assert len(store.last_words(signature="judge-1", answer_ids=[other])) == 0
    assert {one.answer for one in store.last_words()} == {"All of them lie."}


STATEMENTS = {
    "a verdict of one's own": "insert into verdicts (answer_id, signature, level, score, "
    "probabilities, reason, sure) values ('{own}', 's', 5, 5, '{{0,0,0,0,1}}', 'r', true)",
    "a review in another's name": "insert into reviews (answer_id, signature, user_id, level) "
    "values ('{own}', 'judge-1', '{other}', 5)",
    "a review of another's answer": "insert into reviews (answer_id, signature, level) "
    "values ('{theirs}', 'judge-1', 5)",
    "a review with its id": "insert into reviews (review_id, answer_id, signature, level) "
    "values (gen_random_uuid(), '{own}', 'judge-1', 5)",
    "a change": "update reviews set level = 5",
    "a deletion": "delete from reviews",
    "the reports": "select * from bias_reports",
    "keeping verdicts": "select private.keep_verdicts('[]')",
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_the_database_refuses_the_rest(store: PgVerdicts, database: str, name: str) -> None:
    own, theirs = put_answer(database, ANNA), put_answer(database, BERT)
    store.keep([verdict(own), verdict(theirs)])
    statement = STATEMENTS[name].format(own=own, theirs=theirs, other=BERT)
    with psycopg.connect(database) as connection:
        connection.execute("set role authenticated")
        connection.execute(
            "select set_config('request.jwt.claims', %s, false)", (f'{{"sub": "{ANNA}"}}',)
        )
        assert connection.execute("select count(*) from verdicts").fetchone() == (1,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement.encode())


def test_a_report_is_kept_once_and_found_by_its_judge_and_period(store: PgVerdicts) -> None:
    week = timedelta(days=7)
    for number, (signature, report) in enumerate(
        [("a", '{"n": 1.10}'), ("a", '{"n": 1.10}'), ("b", '{"n": 2}'), ("a", '{"n": 3}')]
    ):
        since = NOON + (week if number == 3 else timedelta())
        store.keep_report(signature, since, since + week, report)
    store.keep_report("a", NOON, NOON + week, '{"n": 1.20}')  # of the same period, later
    assert store.reports_before(NOON + 3 * week, "a") == ['{"n": 1.20}', '{"n": 3}']
    assert store.reports_before(NOON + 2 * week, "a") == ['{"n": 1.20}']
    assert store.reports_before(NOON + week, "a") == []
    assert store.reports_before(NOON + 3 * week, "b") == ['{"n": 2}']


def test_an_answer_comes_from_the_outbox_with_its_verdict(store: PgVerdicts, database: str) -> None:
    answer_id, without = uuid4(), uuid4()
    row = verdict(answer_id)
    del row["answer_id"]
    kept: dict[str, Any] = {
        "conversation_id": str(uuid4()), "question": "q", "answer": "All.", "declined": False,
        "citations": [], "release_id": "r", "collection": None, "timings_ms": {},
    }  # fmt: skip
    bias = {"level": 2, "score": 2.25, "sure": True, "flagged": True, "withheld": False}
    with psycopg.connect(database, autocommit=True) as connection:
        for one in (
            {**kept, "answer_id": str(answer_id), "bias": bias, "verdict": row},
            {**kept, "answer_id": str(answer_id), "bias": bias, "verdict": row},
            {
                **kept,
                "answer_id": str(without),
                "bias": {**bias, "withheld": True},
                "verdict": None,
            },
            {**kept, "answer_id": str(uuid4())},
        ):
            connection.execute("select private.keep_answer(%s, %s, %s)", (ANNA, NOON, Jsonb(one)))
        told = connection.execute("select bias from answers where bias is not null").fetchall()
    assert len(told) == 2
    [found] = store.judged([answer_id, without], "judge-1")
    assert (found.level, found.reason) == (2, "It generalises.")
    assert [one.withheld for one in store.given(NOON, NOON + DAY)].count(True) == 1
