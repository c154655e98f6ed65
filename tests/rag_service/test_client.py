"""The client against the real API over memory, and against whatever else may answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from model_pipeline.errors import StoreUnavailable
from rag_service.answer import Delta, PassagesFound
from rag_service.api.services import Services
from rag_service.client import (
    CitationsEvent,
    Client,
    DeltaEvent,
    DoneEvent,
    PassagesEvent,
    ServiceAway,
    ServiceError,
)

NewServices = Callable[..., Services]
Serve = Callable[[Services], AbstractContextManager[str]]


@pytest.fixture
def client(new_services: NewServices, serve: Serve) -> Iterator[Client]:
    with serve(new_services()) as address, Client(address) as client:
        yield client


@contextmanager
def answering(reply: bytes) -> Iterator[str]:
    """A server that says `reply` to whatever comes, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(reply)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def http(body: bytes, kind: str = "application/json") -> bytes:
    return (
        f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    ).encode() + body


def test_search_and_ask(client: Client) -> None:
    found = client.search("When?", k=2, mode="lexical", collection="default", filter={"a": 1})
    assert [one["source"] for one in found["passages"]] == ["0.md", "1.md"]
    answer = client.ask("When?", history=[{"role": "user", "content": "Hello"}])
    assert answer.citations[0]["quote"] in answer.passages[0]["content"]
    assert "Said before: 1" in answer.answer
    assert answer.timings_ms["total"] > 0


def test_a_stream_brings_the_same_as_asking(client: Client) -> None:
    """With the fakes' text, which holds line separators that are none to server-sent events."""
    events = list(client.ask_stream("When?"))
    kinds = [PassagesEvent, DeltaEvent, DeltaEvent, CitationsEvent, DoneEvent]
    assert [type(event) for event in events] == kinds
    passages, first, second, citations, done = events
    assert isinstance(passages, PassagesEvent) and passages.complete
    assert isinstance(first, DeltaEvent) and isinstance(second, DeltaEvent)
    assert isinstance(citations, CitationsEvent) and isinstance(done, DoneEvent)
    assert "\u2028" in first.text
    assert first.text + second.text == done.answer.answer
    whole, streamed = asdict(client.ask("When?")), asdict(done.answer)
    for body in (whole, streamed):
        del body["answer_id"], body["timings_ms"]
    assert streamed == whole
    assert streamed["citations"] == citations.citations


def test_documents_from_adding_to_deleting(client: Client) -> None:
    assert client.add_text("Text.", source="a.md", title="A", metadata={"a": 1})["new"] == 1
    report = client.upload([("b.md", b"b"), ("c.exe", b"c")], collection="notes")
    assert (report["new"], report["failures"][0]["source"]) == (1, "c.exe")
    assert client.collections() == ["default", "notes"]
    page = client.documents(limit=1)
    rest = client.documents(after=page["next"])
    assert len(page["documents"]) + len(rest["documents"]) == 2
    [note] = client.documents(collection="notes")["documents"]
    assert client.document(note["document_id"])["chunks"][0]["content"] == "b"
    client.delete_document(note["document_id"])
    assert client.collections() == ["default"]
    with pytest.raises(ServiceError, match="no document") as caught:
        client.delete_document(note["document_id"])
    assert (caught.value.status, caught.value.title) == (404, "Not found")


def test_ready(client: Client, new_services: NewServices, serve: Serve) -> None:
    async def away() -> None:
        raise StoreUnavailable("The database does not answer: try again.")

    assert client.ready()
    with serve(new_services(ready=away)) as address, Client(address) as other:
        assert not other.ready()


def test_problems_are_one_sentence(client: Client) -> None:
    with pytest.raises(ServiceError, match="The question is empty") as caught:
        client.ask(" ")
    assert caught.value.status == 400
    with pytest.raises(ServiceError, match="The question is empty"):
        list(client.ask_stream(" "))
    with pytest.raises(ServiceError, match="half of a surrogate pair"):
        client.search("\ud800")
    with pytest.raises(ServiceError, match="nothing at this address"):
        client.document("../collections")
    with pytest.raises(ServiceError, match="filter"):
        client.search("When?", filter={"year": {"over": float("nan")}})


def test_a_file_name_that_is_no_text_is_still_a_name(client: Client) -> None:
    name = b"caf\xe9.md".decode("utf-8", "surrogateescape")
    assert client.upload([(name, b"text")])["new"] == 1
    [listed] = client.documents()["documents"]
    assert listed["source"] == "caf?.md"


def test_a_store_that_goes_away_mid_stream_is_an_error(
    new_services: NewServices, serve: Serve
) -> None:
    class Breaking:
        async def stream(self, question: str, **_: Any) -> Any:
            yield PassagesFound((), complete=True)
            yield Delta("Half")
            raise StoreUnavailable("The database does not answer: try again.")

    with serve(new_services(answerer=Breaking())) as address, Client(address) as client:
        events = client.ask_stream("When?")
        assert [type(next(events)) for _ in range(2)] == [PassagesEvent, DeltaEvent]
        with pytest.raises(ServiceError, match="does not answer") as caught:
            next(events)
    assert caught.value.status == 503


def test_an_answer_that_breaks_off_says_so() -> None:
    half = b'event: delta\ndata: {"text": "Half"}\n\n'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    ended = head + b"Connection: close\r\n\r\n" + half
    cut = head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(half), half)
    for reply in (ended, cut):
        with answering(reply) as address, Client(address) as client:
            events = client.ask_stream("When?")
            assert next(events) == DeltaEvent("Half")
            with pytest.raises(ServiceAway, match="broke off"):
                next(events)


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
    with Client(address) as client:
        assert not client.ready()
        with pytest.raises(ServiceAway, match=rf"{address} does not answer: start it"):
            client.search("When?")
        with pytest.raises(ServiceAway, match="does not answer"):
            next(client.ask_stream("When?"))


@pytest.mark.parametrize("address", ["nonsense", "ftp://host", "http://[::1"])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(ServiceAway, match="is not the address"), Client(address) as client:
        client.collections()


def test_no_answer_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        with Client(address, timeout_s=0.05) as client, pytest.raises(ServiceAway, match="in time"):
            client.search("When?")


@pytest.mark.parametrize(
    "reply", [http(b"<html>", "text/html"), http(b"[]"), http(b"{}"), http(b"\xff")]
)
@pytest.mark.parametrize("call", [Client.collections, lambda client: client.ask("When?")])
def test_another_service_at_the_address(reply: bytes, call: Callable[[Client], Any]) -> None:
    with (
        answering(reply) as address,
        Client(address) as client,
        pytest.raises(ServiceError, match="is not Promptly"),
    ):
        call(client)


def test_a_problem_without_a_reason() -> None:
    reply = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbad"
    with (
        answering(reply) as address,
        Client(address) as client,
        pytest.raises(ServiceError) as caught,
    ):
        client.collections()
    assert (caught.value.status, caught.value.title) == (502, "Bad Gateway")


def test_the_client_stands_alone() -> None:
    """It needs neither the API nor the store: scripts may take the one file."""
    import rag_service.client

    source = Path(rag_service.client.__file__).read_text("utf-8")
    assert "rag_service.api" not in source
    assert "model_pipeline" not in source
