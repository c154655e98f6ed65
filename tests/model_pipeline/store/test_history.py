"""What is kept of answers and feedback, and whose it is: written by ids that the service gave."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege
from psycopg_pool import ConnectionPool

from model_pipeline.domain import Caller
from model_pipeline.errors import NotFound, StoreUnavailable, Unauthorized
from model_pipeline.store.caller import BECOME, to_settings
from model_pipeline.store.history import CONVERSATIONS, PgHistory, Place
from model_pipeline.store.intake import Absent, Delayed, PgIntake, Refused, Stored

Pool = ConnectionPool[psycopg.Connection[Any]]
ADA, BOB = uuid4(), uuid4()
BEGIN = datetime(2026, 1, 31, 12, tzinfo=UTC)


def person(who: UUID | None) -> Caller | None:
    return Caller("authenticated", {"sub": str(who)}) if who else None


def entry(kind: str, who: UUID | None, data: dict[str, Any], minute: float = 0) -> dict[str, Any]:
    at = (BEGIN + timedelta(minutes=minute)).isoformat()
    return {"kind": kind, "user_id": str(who) if who else None, "at": at, "data": data}


def asked(
    who: UUID | None,
    conversation: UUID,
    question: str = "Why?",
    minute: float = 0,
    answer_id: UUID | None = None,
) -> dict[str, Any]:
    data = {
        "answer_id": str(answer_id or uuid4()),
        "conversation_id": str(conversation),
        "question": question,
        "answer": "Because [1].",
        "declined": False,
        "citations": [{"n": 1, "quote": "Because"}],
        "release_id": "r",
        "collection": None,
        "timings_ms": {"total": 1.5},
    }
    return entry("answer", who, data, minute)


def said(who: UUID | None, about: dict[str, Any], minute: float = 1, **parts: Any) -> Any:
    data = {"answer_id": about["data"]["answer_id"], "said": parts}
    return entry("feedback", who, data, minute)


@pytest.fixture
def intake(database: str) -> Iterator[PgIntake]:
    intake = PgIntake(database)
    yield intake
    intake.close()


@pytest.mark.parametrize("who", [ADA, None])
def test_what_is_kept_is_shown_to_its_asker_and_deleted_with_all(
    pool: Pool, intake: PgIntake, who: UUID | None
) -> None:
    first, second = uuid4(), uuid4()
    entries = [
        asked(who, first, "First?", 0), asked(who, second, "Second?", 1),
        asked(who, first, "And then?", 2),
    ]  # fmt: skip
    entries.append(said(who, entries[0], 3, rating="up", comment="Good."))
    for _ in range(2):  # again changes nothing
        assert [type(one) for one in intake.take(entries)] == [Stored] * 4
    mine = PgHistory(pool, person(who))
    newest = mine.conversations(limit=10)
    assert [(one.title, one.conversation_id) for one in newest] == [
        ("First?", first), ("Second?", second),
    ]  # fmt: skip
    assert newest[0].created_at == BEGIN and newest[0].updated_at == BEGIN + timedelta(minutes=2)
    assert [one.title for one in mine.conversations(limit=10, only=second)] == ["Second?"]
    page = mine.conversations(limit=1)
    after = Place(page[0].updated_at, page[0].conversation_id)
    assert [one.title for one in mine.conversations(limit=10, after=after)] == ["Second?"]

    _, kept = mine.answers(first, limit=10)
    assert [one.question for one in kept] == ["First?", "And then?"]
    assert kept[0].feedback == {"rating": "up", "comment": "Good."} and kept[1].feedback == {}
    assert kept[0].citations == [{"n": 1, "quote": "Because"}]
    _, rest = mine.answers(first, limit=10, after=kept[0].answer_id)
    assert rest == kept[1:]

    mine.forget(first)
    assert [one.title for one in mine.conversations(limit=10)] == ["Second?"]
    with pool.connection() as connection:
        left = connection.execute("select count(*), (select count(*) from feedback) from answers")
        assert left.fetchone() == (1, 0)
    for gone in (lambda: mine.answers(first, limit=1), lambda: mine.forget(first)):
        with pytest.raises(NotFound):
            gone()
    # What was said before it was deleted, and comes only now, brings nothing back.
    assert intake.take(entries)[3] == Absent()
    assert [one.title for one in mine.conversations(limit=10)] == ["Second?"]
    # What is asked later begins it anew.
    later = (datetime.now(UTC) - BEGIN) / timedelta(minutes=1) + 1
    intake.take([asked(who, first, "Once more?", later)])
    assert mine.answers(first, limit=10)[0].title == "Once more?"
    assert len(mine.answers(first, limit=10)[1]) == 1


@pytest.mark.parametrize(("whose", "forger"), [(ADA, BOB), (ADA, None), (None, BOB)])
def test_another_s_ids_open_and_overwrite_nothing(
    pool: Pool, intake: PgIntake, whose: UUID | None, forger: UUID | None
) -> None:
    theirs = asked(whose, uuid4(), "Secret?")
    conversation = UUID(theirs["data"]["conversation_id"])
    intake.take([theirs, said(whose, theirs, rating="up")])
    before = PgHistory(pool, person(whose)).answers(conversation, limit=10)
    forging = PgHistory(pool, person(forger))
    for attempt in (
        lambda: forging.answers(conversation, limit=10),
        lambda: forging.forget(conversation),
    ):
        with pytest.raises(NotFound):
            attempt()
    assert forging.conversations(limit=10) == []
    assert intake.take([said(forger, theirs, rating="down")]) == [Absent()]
    taken = asked(forger, uuid4(), "x", answer_id=UUID(theirs["data"]["answer_id"]))
    # By its id: one of one's own, that has the name alone in common.
    assert type(intake.take([asked(forger, conversation, "Mine?"), taken])[0]) is Stored
    assert forging.answers(conversation, limit=10)[0].title == "Mine?"
    assert forging.conversations(limit=1, only=conversation)[0].title == "Mine?"
    after = PgHistory(pool, person(whose)).answers(conversation, limit=10)
    assert after == before
    forging.forget(conversation)
    assert PgHistory(pool, person(whose)).answers(conversation, limit=10) == before


def test_of_feedback_the_later_counts_in_whatever_order_it_comes(
    pool: Pool, intake: PgIntake
) -> None:
    parts: list[dict[str, Any]] = [
        {"rating": "up"}, {"comment": "Short."}, {"rating": "down", "harm": "It insults."},
        {"comment": None},
    ]  # fmt: skip
    for order in permutations(range(4)):
        answer = asked(ADA, uuid4())
        all_said = [said(ADA, answer, minute, **parts[minute]) for minute in range(4)]
        intake.take([answer])
        intake.take([all_said[n] for n in order])
        outcome = intake.take([all_said[order[0]]])[0]  # and one of them again
        assert outcome == Stored({"rating": "down", "harm": "It insults."}), order
        gone = dict.fromkeys(("rating", "comment", "corrected_answer", "harm"))
        assert intake.take([said(ADA, answer, 9, **gone)]) == [Stored({})]
        assert intake.take([all_said[2]]) == [Stored({})]  # taken back is taken back
    with pool.connection() as connection:
        assert connection.execute("select count(*) from feedback").fetchone() == (0,)


def test_one_that_is_refused_stops_no_other(intake: PgIntake) -> None:
    answer = asked(ADA, uuid4())
    bad = asked(ADA, uuid4())
    bad["data"]["question"] = None
    unreadable = asked(ADA, uuid4())
    unreadable["data"]["answer_id"] = "none"
    entries = [answer, bad, said(ADA, answer, rating="sideways"), unreadable,
               said(ADA, answer, rating="up")]  # fmt: skip
    outcomes = intake.take(entries)
    assert [type(one) for one in outcomes] == [Stored, Refused, Refused, Refused, Stored]


def test_what_may_be_mended_is_tried_again(database: str, intake: PgIntake) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("alter table feedback rename to elsewhere")
        answer = asked(ADA, uuid4())
        outcomes = intake.take([answer, said(ADA, answer, rating="up")])
        assert [type(one) for one in outcomes] == [Stored, Delayed]
        connection.execute("alter table elsewhere rename to feedback")
    assert intake.take([said(ADA, answer, rating="up")]) == [Stored({"rating": "up"})]


def test_a_database_that_is_away_is_told_and_found_again(database: str, intake: PgIntake) -> None:
    intake.take([asked(ADA, uuid4())])
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )
    answer = asked(ADA, uuid4())
    with pytest.raises(StoreUnavailable):
        intake.take([answer])
    assert type(intake.take([answer])[0]) is Stored


def test_the_anonymous_have_no_history(pool: Pool) -> None:
    history = PgHistory(pool, Caller())
    for attempt in (
        lambda: history.conversations(limit=1),
        lambda: history.answers(uuid4(), limit=1),
        lambda: history.forget(uuid4()),
    ):
        with pytest.raises(Unauthorized):
            attempt()


@pytest.mark.parametrize("who", [Caller(), person(ADA), Caller("service_role", {})])  # type: ignore[arg-type]
@pytest.mark.parametrize(
    "forged",
    [
        "select private.keep_answer(%(me)s, now(), '{}')",
        "select private.put_feedback(%(me)s, now(), '{}')",
        "select private.forget_conversation(%(me)s, now(), gen_random_uuid())",
        "insert into conversations (conversation_id, title) values (gen_random_uuid(), 't')",
        "update conversations set title = 't'",
    ],
)
def test_nobody_else_writes_with_ids_of_their_choice(
    database: str, who: Caller, forged: str
) -> None:
    if who.role == "service_role" and "conversations" in forged:
        pytest.skip("the secret key sees and writes every table")
    with psycopg.connect(database) as connection:
        connection.execute(BECOME, to_settings(who))
        with pytest.raises(InsufficientPrivilege):
            connection.execute(forged, {"me": ADA})


FILL = """
insert into conversations (conversation_id, user_id, title)
select gen_random_uuid(), u, 'q' from unnest(%(users)s::uuid[]) as u, generate_series(1, 1000);
insert into answers (user_id, conversation_id, question, answer, release_id)
select user_id, conversation_id, 'q', 'a', 'r' from conversations, generate_series(1, 3);
insert into feedback (answer_id, user_id, rating)
select answer_id, user_id, 'up' from answers
"""
LOOKED_UP: dict[str, LiteralString] = {
    "a conversation": CONVERSATIONS + " and user_id = (select auth.uid())",
    "a conversation to delete": "select private.forget_conversation(%(me)s, now(), %(only)s)",
    "feedback": "select private.put_feedback(%(me)s, now(), jsonb_build_object('answer_id', "
    "%(answer)s::uuid, 'said', jsonb_build_object('rating', 'down')))",
}


@pytest.mark.parametrize("looked_up", LOOKED_UP)
@pytest.mark.parametrize("me", [ADA, None])
def test_another_s_takes_the_work_of_what_is_not_there(
    pool: Pool, looked_up: str, me: UUID | None
) -> None:
    with pool.connection() as connection:
        psycopg.ClientCursor(connection).execute(FILL, {"users": [BOB, ADA, None]})
        connection.execute("analyze conversations, answers, feedback")
        theirs = connection.execute(
            "select conversation_id, answer_id from answers where user_id = %s limit 1", (BOB,)
        ).fetchone()
    assert theirs is not None

    def blocks(conversation: UUID, answer: UUID) -> int:
        explain = "explain (analyze, buffers, timing off, format json) " + LOOKED_UP[looked_up]
        values = {"me": me, "only": conversation, "answer": answer, "at": None, "after": None}
        # What is for the service alone runs as itself.
        who = person(me) if "private." not in explain else None
        read = 0
        with pool.connection() as connection, connection.transaction(force_rollback=True):
            if who:
                connection.execute(BECOME, to_settings(who))
            for _ in range(2):  # the first warms the caches
                row = connection.execute(explain.encode(), values).fetchone()
                assert row is not None
                read = row[0][0]["Plan"]["Shared Hit Blocks"]
        return read

    assert abs(blocks(*theirs) - blocks(uuid4(), uuid4())) <= 2
    assert blocks(uuid4(), uuid4()) < 50  # looked for in an index, also what is nobody's
