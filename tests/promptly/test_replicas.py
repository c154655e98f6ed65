"""Two replicas with an outbox each, over one database that is not always there for both: feedback
at the one on what the other has answered."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from model_pipeline.domain import Answer
from model_pipeline.errors import NotFound
from model_pipeline.store.intake import PgIntake
from rag_service.keep import Keeper, Said
from rag_service.outbox import ABSENT_S, Outbox
from tests.servers import relay


@contextmanager
def replica(conninfo: str, folder: Path) -> Iterator[tuple[Keeper, Outbox]]:
    with (
        closing(PgIntake(conninfo)) as intake,
        closing(Outbox(folder, intake.take)) as outbox,
    ):
        yield Keeper(outbox), outbox


def keep(keeper: Keeper) -> UUID:
    answer = Answer(uuid4(), "At nine.", False, (), (), "release")
    asyncio.run(keeper.keep("When?", answer, collection=None, conversation_id=uuid4()))
    return answer.answer_id


def say(keeper: Keeper, answer_id: UUID) -> Said:
    return asyncio.run(keeper.say(answer_id, {"rating": "up"}))


def stored(database: str) -> set[UUID]:
    with psycopg.connect(database) as connection:
        return {found for (found,) in connection.execute("select answer_id from feedback")}


def test_feedback_is_stored_though_its_answer_comes_after_it(database: str, tmp_path: Path) -> None:
    with (
        relay.running(database) as (way, through),
        replica(through, tmp_path / "a") as (first, waiting),
        replica(database, tmp_path / "b") as (second, _),
    ):
        assert say(second, keep(first)).stored  # within milliseconds, as anybody's program may
        way.cut()
        answer_id = keep(first)
        assert waiting.waiting == 1
        threading.Timer(ABSENT_S / 4, way.mend).start()
        said = say(second, answer_id)
        assert said.stored and said.feedback == {"rating": "up"}


def test_after_the_database_was_away_it_is_kept_until_the_answer_comes(
    database: str, tmp_path: Path
) -> None:
    with (
        relay.running(database) as (way, through),
        relay.running(database) as (other_way, other_through),
        replica(through, tmp_path / "a") as (first, _),
        replica(other_through, tmp_path / "b") as (second, outbox),
    ):
        other_way.cut()
        way.cut()
        answer_id, early = keep(first), keep(first)
        assert not say(second, early).stored
        other_way.mend()
        deadline = time.monotonic() + 20
        while not (said := say(second, answer_id)).stored and outbox.waiting < 2:
            assert time.monotonic() < deadline
        assert not said.stored and stored(database) == set()
        way.mend()
        while stored(database) != {answer_id, early}:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_an_answer_that_never_was_is_told_to_be_none(database: str, tmp_path: Path) -> None:
    with replica(database, tmp_path / "b") as (keeper, outbox):
        with pytest.raises(NotFound, match="There is no answer"):
            say(keeper, uuid4())
        deadline = time.monotonic() + 20
        while outbox.waiting:  # crossed out after the asker is told
            assert time.monotonic() < deadline
            time.sleep(0.05)
