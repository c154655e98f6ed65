"""History and feedback over the API, with the real database: what is kept, and what is refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from promptly.settings import Settings
from rag_service.client import Client, DoneEvent, ServiceError
from tests.servers.promptly_api import running

TICKETS = "# Tickets\n\nA ticket costs twelve euros. Children under six enter free of charge.\n"
QUESTION = "How much does a ticket cost?"


@pytest.fixture(scope="module")
def client(
    module_database: str, embedder_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    home = tmp_path_factory.mktemp("home")
    (home / "cache").symlink_to(embedder_cache)
    settings = Settings(home=home, database_url=module_database)
    with running(settings, module_database) as address, Client(address) as client:
        client.add_text(TICKETS, source="tickets.md")
        yield client


def test_answers_are_kept_by_conversation_streamed_or_not(client: Client) -> None:
    first = client.ask(QUESTION)
    *_, last = client.ask_stream("And for children?", conversation_id=first.conversation_id)
    assert isinstance(last, DoneEvent)
    assert last.answer.conversation_id == first.conversation_id
    other = client.ask("Who enters free of charge?", collection="default")
    assert other.conversation_id != first.conversation_id

    found = client.history()
    titles = {one.conversation_id: one.title for one in found.conversations}
    assert titles[first.conversation_id] == QUESTION
    assert found.conversations[0].conversation_id == other.conversation_id
    page = client.history(limit=1)
    assert client.history(limit=1, after=page.next).conversations[0].title == QUESTION
    only = client.history(conversation_id=first.conversation_id).conversations
    assert [one.title for one in only] == [QUESTION]

    shown = client.conversation(first.conversation_id)
    assert [one.question for one in shown.answers] == [QUESTION, "And for children?"]
    kept = shown.answers[0]
    assert (kept.answer_id, kept.answer) == (first.answer_id, first.answer)
    assert kept.citations == first.citations and kept.release_id == first.release_id
    assert kept.timings_ms["total"] > 0 and kept.feedback is None
    page = client.conversation(first.conversation_id, limit=1)
    rest = client.conversation(first.conversation_id, limit=1, after=page.next)
    assert [one.question for one in rest.answers] == ["And for children?"]

    client.delete_conversation(first.conversation_id)
    assert first.conversation_id not in str(client.history())
    for gone in (client.conversation, client.delete_conversation):
        with pytest.raises(ServiceError, match="There is no conversation"):
            gone(first.conversation_id)
    with pytest.raises(ServiceError, match="There is no answer"):
        client.give_feedback(first.answer_id, rating="up")


def test_feedback_changes_in_part_and_is_taken_back(client: Client) -> None:
    answer = client.ask(QUESTION)

    def stands() -> Any:
        kept = client.conversation(answer.conversation_id).answers[0].feedback
        return kept and kept.model_dump()

    said = client.give_feedback(answer.answer_id, rating="up")
    whole = {"rating": "up", "comment": None, "corrected_answer": None, "harm": None}
    assert said.stored and said.feedback and said.feedback.model_dump() == whole
    client.give_feedback(answer.answer_id, comment="Short.", corrected_answer="Twelve euros.")
    client.give_feedback(answer.answer_id, rating="down", comment=None)
    whole |= {"rating": "down", "corrected_answer": "Twelve euros."}
    assert stands() == whole
    client.remove_feedback(answer.answer_id)
    client.remove_feedback(answer.answer_id)
    assert stands() is None


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({}, 400),
        ({"rating": "sideways"}, 422),
        ({"comment": "x" * 10_001}, 422),
        ({"comment": ""}, 422),
        ({"harm": "NUL \0"}, 422),
        ({"corrected_answer": "\ud800"}, 422),
    ],
)
def test_what_is_no_feedback_is_refused_with_a_sentence(
    client: Client, said: dict[str, Any], status: int
) -> None:
    with pytest.raises(ServiceError) as caught:
        client.give_feedback(str(uuid4()), **said)
    assert caught.value.status == status and caught.value.detail.endswith(".")


@pytest.mark.parametrize("after", ["x", "_", "2026-01-31T12:00:00.0Z_x", "\0"])
def test_a_page_that_is_none(client: Client, after: str) -> None:
    with pytest.raises(ServiceError, match="'after'"):
        client.history(after=after)


def test_a_question_with_a_nul_is_kept_too(client: Client) -> None:
    answer = client.ask("How much does\0 a ticket cost?")
    [kept] = client.conversation(answer.conversation_id).answers
    assert kept.question == "How much does\ufffd a ticket cost?"


def test_a_database_that_hangs_slows_no_answer_down(client: Client, module_database: str) -> None:
    """Its tables of answers are locked: what is asked is answered, and kept when they are free."""
    with psycopg.connect(module_database) as connection:
        connection.execute("lock table answers, conversations in access exclusive mode")
        began = time.monotonic()
        answers = [client.ask(QUESTION) for _ in range(5)]
        assert time.monotonic() - began < 5
        waits = client.give_feedback(answers[0].answer_id, rating="up")
        assert not waits.stored and waits.feedback is None
        connection.rollback()
    deadline = time.monotonic() + 20
    while True:
        kept = client.history(conversation_id=answers[4].conversation_id).conversations
        if kept:
            break
        assert time.monotonic() < deadline
        time.sleep(0.05)
    deadline = time.monotonic() + 20
    while True:
        [first] = client.conversation(answers[0].conversation_id).answers
        if first.feedback:
            break
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert first.feedback.rating == "up"
