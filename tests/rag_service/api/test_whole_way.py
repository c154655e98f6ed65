"""The API over the real database, embedder and generator: from a text to its cited answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from promptly.settings import Settings
from rag_service.client import Client, DeltaEvent, DoneEvent, PassagesEvent, ServiceError
from tests.servers.promptly_api import running

MUSEUM = "# Museum\n\nThe museum opens at nine in the morning. It closes at five.\n"
TICKETS = "# Tickets\n\nA ticket costs twelve euros. Children under six enter free of charge.\n"
QUESTION = "How much does a ticket cost?"


@pytest.fixture(scope="module")
def client(module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    settings = Settings(
        home=tmp_path_factory.mktemp("home"), database_url=module_database, request_timeout_s=10
    )
    with running(settings, module_database) as address, Client(address, retries=0) as client:
        yield client


def test_two_texts_are_searched_answered_streamed_and_deleted(client: Client) -> None:
    assert client.ready()
    for source, text in (("museum.md", MUSEUM), ("tickets.md", TICKETS)):
        assert client.add_text(text, source=source, metadata={"kind": source}).new == 1
        assert client.add_text(text, source=source, metadata={"kind": source}).unchanged == 1

    for mode in ("hybrid", "dense", "lexical"):
        found = client.search(QUESTION, mode=mode)
        assert found.passages[0].source == "tickets.md"
    only = client.search(QUESTION, filter={"kind": "museum.md"})
    assert {one.source for one in only.passages} == {"museum.md"}

    answer = client.ask(QUESTION)
    assert not answer.declined
    assert "twelve euros" in answer.answer
    [citation] = [one for one in answer.citations if "twelve" in one.quote]
    chunks = client.document(citation.document_id).chunks
    text = "".join(chunk.content for chunk in chunks)
    assert text[citation.start : citation.end] == citation.quote

    events = list(client.ask_stream(QUESTION))
    assert isinstance(events[0], PassagesEvent)
    done = events[-1]
    assert isinstance(done, DoneEvent)
    said = "".join(event.text for event in events if isinstance(event, DeltaEvent))
    assert said.strip() == done.answer.answer == answer.answer

    client.delete_document(citation.document_id)
    left = client.search(QUESTION).passages
    assert "tickets.md" not in {one.source for one in left}


def test_files_are_uploaded_and_a_broken_one_is_told(client: Client) -> None:
    report = client.upload(
        [("a.md", b"# Garden\n\nThe garden has roses."), ("b.pdf", b"%PDF-1.7 cut"), ("c.x", b"")],
        collection="files",
    )
    assert (report.new, report.failed) == (1, 2)
    assert {one.source for one in report.failures} == {"b.pdf", "c.x"}
    [listed] = client.documents(collection="files").documents
    assert listed.source == "a.md"
    with pytest.raises(ServiceError) as caught:
        client.search("roses", collection="nowhere")
    assert caught.value.status == 404


@pytest.mark.parametrize(
    "given",
    [
        {"text": "NUL \0 here", "source": "nul.md"},
        {"text": "Text.", "source": "nul\0.md"},
        {"text": "Text.", "source": "nul-title.md", "title": "a\0b"},
        {"text": "Text.", "source": "nul-meta.md", "metadata": {"a\0": "b\0"}},
        {"text": "Text.", "source": "nul-collection.md", "collection": "a\0b"},
        {"text": "Text.", "source": "deep.md", "metadata": {"a": {"b": {"c": [[[[]]]]}}}},
        {"text": "Text.", "source": "half.md", "title": "\ud800"},
        {"text": " \n\t ", "source": "blank.md"},
        {"text": "\ufeff\u202e\u200b", "source": "invisible.md"},
        {"text": "Text.", "source": "../../etc/passwd"},
        {"text": "Text.", "source": "huge-number.md", "metadata": {"n": 10**400}},
        {"text": "Text.", "source": "nan.md", "metadata": {"n": float("nan")}},
    ],
)
def test_odd_texts_are_stored_or_refused_but_never_fail(
    client: Client, given: dict[str, Any]
) -> None:
    try:
        client.add_text(**given)
    except ServiceError as error:
        assert error.status in (400, 413, 422)
        assert error.detail.endswith(".")
    assert client.ready()
    client.documents()
    client.search("Text")


@pytest.mark.shared
def test_naughty_strings_are_questions_like_others(client: Client, shared_data: Path) -> None:
    client.add_text(MUSEUM, source="museum.md")
    lines = (shared_data / "blns" / "blns.txt").read_text("utf-8").split("\n")
    assert len(lines) > 500
    for line in dict.fromkeys(lines):
        for call in (client.search, client.ask):
            try:
                call(line)
            except ServiceError as error:
                assert error.status in (400, 422), (line, error.detail)


def test_a_database_that_goes_away_comes_back_without_a_restart(
    client: Client, module_database: str
) -> None:
    client.add_text(MUSEUM, source="museum.md", collection="steady")
    name = conninfo_to_dict(module_database)["dbname"]
    admin = make_conninfo(module_database, dbname="postgres")
    with psycopg.connect(admin, autocommit=True) as connection:

        def allow(connections: bool) -> None:
            connection.execute(
                sql.SQL("alter database {} allow_connections {}").format(
                    sql.Identifier(str(name)), sql.Literal(connections)
                )
            )

        allow(False)
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,)
        )
        try:
            calls: list[Callable[[], object]] = [
                lambda: client.search("museum"),
                lambda: client.ask("museum"),
                lambda: list(client.ask_stream("museum")),
                client.collections,
                lambda: client.add_text("Text.", source="away.md"),
            ]
            # Together: each waits some seconds for the database before it gives up.
            with ThreadPoolExecutor(len(calls) + 1) as threads:
                ready = threads.submit(client.ready)
                asked = [threads.submit(call) for call in calls]
            assert not ready.result()
            for failure in [one.exception() for one in asked]:
                assert isinstance(failure, ServiceError), failure
                assert failure.status == 503, failure.detail
        finally:
            allow(True)
    deadline = time.monotonic() + 30
    while not client.ready():
        assert time.monotonic() < deadline, "the service did not recover"
        time.sleep(0.1)
    assert client.search("museum", collection="steady").passages
    assert "away.md" not in {one.source for one in client.documents().documents}
