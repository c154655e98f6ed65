"""Runs in the real database: one for each key, one who works on it, and nothing but what may
follow."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import psycopg
import pytest

from model_pipeline.errors import ConfigurationError, Conflict, NotFound
from model_pipeline.store.runs import PgRuns, Run, RunHeld
from training.kaggle.runs import ENDED, START, TRANSITIONS, UNDER_WAY, after, cancel, held


def opened(runs: PgRuns, key: str = "key") -> Run:
    return runs.open(key, dataset_hash="d", config={"rank": 8})


def test_the_database_has_the_states_of_the_table(database: str) -> None:
    with psycopg.connect(database) as connection:
        row = connection.execute(
            "select pg_get_constraintdef(oid) from pg_constraint where conname = 'runs_state_check'"
        ).fetchone()
    assert row
    assert set(re.findall(r"'(\w+)'", row[0])) == set(TRANSITIONS)
    assert {to for events in TRANSITIONS.values() for to in events.values()} == set(TRANSITIONS)
    assert START in UNDER_WAY
    assert set(ENDED) == {"succeeded", "published", "stopped", "failed", "cancelled"}


def test_one_run_for_each_key_whoever_asks_at_once(runs: PgRuns) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: opened(runs), range(16)))
    assert len({run.run_id for run in found}) == 1
    assert [event.event for event in runs.events(found[0].run_id)] == ["open"]
    assert found[0].slug == f"promptly-{found[0].run_id.hex}"
    assert opened(runs, "another").run_id != found[0].run_id


def test_a_key_is_not_lent_to_other_data(runs: PgRuns) -> None:
    opened(runs)
    for facts in ({"dataset_hash": "e"}, {"config": {"rank": 9}}):
        with pytest.raises(Conflict, match="other training data or another configuration"):
            runs.open("key", **{"dataset_hash": "d", "config": {"rank": 8}, **facts})


def test_each_event_leads_where_the_table_says_and_no_other_can_happen(runs: PgRuns) -> None:
    every = {event for events in TRANSITIONS.values() for event in events}
    way = "push pushed start end succeed".split()
    run = opened(runs)
    with held(runs, run.run_id) as mine:
        for event in way:
            for other in every - TRANSITIONS[mine.run.state].keys():
                with pytest.raises(Conflict, match=f"is {mine.run.state}: it cannot {other}"):
                    mine.move(other)
            mine.move(event)
        mine.move("publish", version="v1")
    assert runs.get(run.run_id).state == "published"
    assert [event.event for event in runs.events(run.run_id)] == ["open", *way, "publish"]
    assert TRANSITIONS["published"] == {}


def test_a_verdict_is_of_runs_that_failed(runs: PgRuns) -> None:
    with held(runs, opened(runs).run_id) as mine:
        mine.fail("infrastructure", "No GPU.")
        assert (mine.run.state, mine.run.verdict) == ("failed", "infrastructure")
    refused = pytest.raises(ConfigurationError, match="violates check constraint")
    with held(runs, opened(runs, "b").run_id) as mine, refused:
        mine.note(verdict="failed")


def test_who_works_on_a_run_has_it_alone(runs: PgRuns) -> None:
    run = opened(runs)
    with held(runs, run.run_id), pytest.raises(RunHeld, match="Another process works on run"):
        runs.claim(run.run_id, uuid4(), 60)
    runs.claim(run.run_id, uuid4(), 60)  # as it was let go


def test_who_lost_the_lease_changes_nothing(runs: PgRuns) -> None:
    run = opened(runs)
    dead, alive = uuid4(), uuid4()
    was = runs.claim(run.run_id, dead, 0)
    now = runs.claim(run.run_id, alive, 60)
    with pytest.raises(RunHeld, match="changed by another process"):
        runs.change(was, worker=dead, lease_s=60, event="push", state="pushing")
    assert runs.change(now, worker=alive, lease_s=60, pushes=1).pushes == 1
    assert [event.event for event in runs.events(run.run_id)] == ["open"]


def test_the_lease_is_extended_as_long_as_it_is_held(runs: PgRuns, database: str) -> None:
    with held(runs, opened(runs).run_id, lease_s=0.3) as mine, psycopg.connect(database) as other:
        other.autocommit = True
        query = "select leased_until from runs where run_id = %s"
        first = other.execute(query, (mine.run.run_id,)).fetchone()
        while other.execute(query, (mine.run.run_id,)).fetchone() == first:
            pass  # the test's own limit of time ends it
    mine.run = runs.get(mine.run.run_id)
    assert runs.claim(mine.run.run_id, uuid4(), 60)


def test_cancelling_takes_it_from_whoever_holds_it(runs: PgRuns) -> None:
    run = opened(runs)
    with held(runs, run.run_id) as mine:
        mine.move("push")
        assert cancel(runs, run).state == "cancelled"  # `run` is as it was before
        with pytest.raises(RunHeld):
            mine.move("pushed", kernel_version=1)
    with pytest.raises(Conflict, match="is cancelled already: there is nothing to cancel"):
        cancel(runs, run)
    assert after(opened(runs, "b"), "cancel") == "cancelled"


def test_events_stay_as_they_were_written(runs: PgRuns, database: str) -> None:
    opened(runs)
    for statement in ("update run_events set event = 'x'", "delete from run_events"):
        with (
            psycopg.connect(database) as connection,
            pytest.raises(psycopg.errors.RaiseException, match="never changes"),
        ):
            connection.execute(statement)


def test_found_by_the_beginning_of_the_id(runs: PgRuns) -> None:
    run = opened(runs)
    assert runs.get(run.run_id.hex[:8]).run_id == runs.get(str(run.run_id)).run_id == run.run_id
    for name in ("abc", "%", "zzzz", str(uuid4()), ""):
        with pytest.raises(NotFound, match="promptly train status"):
            runs.get(name)
    assert [one.run_id for one in runs.newest(5)] == [run.run_id]
    assert runs.find("key") == runs.get(run.run_id)
    assert runs.find("none") is None
