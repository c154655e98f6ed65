"""Both clients against the real API over memory, and against whatever else may answer."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from uuid import UUID

import pytest

from model_pipeline.errors import StoreUnavailable
from rag_service.answer import Delta, PassagesFound
from rag_service.api.services import Services
from rag_service.client import (
    CitationsEvent,
    Client,
    DeltaEvent,
    DoneEvent,
    InvalidInput,
    NotFound,
    PassagesEvent,
    ServiceAway,
    ServiceError,
)
from tests.rag_service.client.waiting import WaitingClient

NewServices = Callable[..., Services]
Serve = Callable[[Services], AbstractContextManager[str]]
Connect = Callable[..., Client]


@pytest.fixture(params=[Client, WaitingClient], ids=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Connect:
    """Makes the one client and the other."""
    made: Connect = request.param
    return made


@pytest.fixture
def client(new_services: NewServices, serve: Serve, connect: Connect) -> Iterator[Client]:
    with serve(new_services()) as address, connect(address) as client:
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
    assert [one.source for one in found.passages] == ["0.md", "1.md"]
    answer = client.ask("When?", history=[{"role": "user", "content": "Hello"}])
    assert answer.citations[0].quote in answer.passages[0].content
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
    own = {"answer_id", "conversation_id", "timings_ms"}
    assert done.answer.model_dump(exclude=own) == client.ask("When?").model_dump(exclude=own)
    assert done.answer.citations == citations.citations


def test_documents_from_adding_to_deleting(client: Client) -> None:
    assert client.add_text("Text.", source="a.md", title="A", metadata={"a": 1}).new == 1
    report = client.upload([("b.md", b"b"), ("c.exe", b"c")], collection="notes")
    assert (report.new, report.failures[0].source) == (1, "c.exe")
    assert client.collections().collections == ["default", "notes"]
    page = client.documents(limit=1)
    rest = client.documents(after=page.next)
    assert len(page.documents) + len(rest.documents) == 2
    [note] = client.documents(collection="notes").documents
    assert client.document(note.document_id).chunks[0].content == "b"
    client.delete_document(UUID(note.document_id))
    assert client.collections().collections == ["default"]
    with pytest.raises(NotFound, match="no document") as caught:
        client.delete_document(note.document_id)
    assert (caught.value.status, caught.value.title) == (404, "Not found")


def test_ready(connect: Connect, client: Client, new_services: NewServices, serve: Serve) -> None:
    async def away() -> None:
        raise StoreUnavailable("The database does not answer: try again.")

    assert client.ready()
    with serve(new_services(ready=away)) as address, connect(address) as other:
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
    assert client.upload([(name, b"text")]).new == 1
    [listed] = client.documents().documents
    assert listed.source == "caf?.md"


def test_a_store_that_goes_away_mid_stream_is_an_error(
    connect: Connect, new_services: NewServices, serve: Serve
) -> None:
    class Breaking:
        async def stream(self, question: str, **_: Any) -> Any:
            yield PassagesFound((), complete=True)
            yield Delta("Half")
            raise StoreUnavailable("The database does not answer: try again.")

    with serve(new_services(answerer=Breaking())) as address, connect(address) as client:
        events = client.ask_stream("When?")
        assert [type(next(events)) for _ in range(2)] == [PassagesEvent, DeltaEvent]
        with pytest.raises(ServiceError, match="does not answer") as caught:
            next(events)
    assert caught.value.status == 503


def test_an_answer_that_breaks_off_says_so(connect: Connect) -> None:
    half = b'event: delta\ndata: {"text": "Half"}\n\n'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    ended = head + b"Connection: close\r\n\r\n" + half
    cut = head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(half), half)
    for reply in (ended, cut):
        with answering(reply) as address, connect(address) as client:
            events = client.ask_stream("When?")
            assert next(events) == DeltaEvent("Half")
            with pytest.raises(ServiceAway, match="broke off"):
                next(events)


def test_nothing_listens(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
    with connect(address) as client:
        assert not client.ready()
        with pytest.raises(ServiceAway, match=rf"{address} does not answer: start it"):
            client.search("When?")
        with pytest.raises(ServiceAway, match="does not answer"):
            next(client.ask_stream("When?"))


@pytest.mark.parametrize("address", ["nonsense", "ftp://host", "http://[::1"])
def test_an_address_that_is_none(connect: Connect, address: str) -> None:
    with pytest.raises(ServiceAway, match="is not the address"), connect(address) as client:
        client.collections()


def test_no_answer_in_time(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        with (
            connect(address, timeout_s=0.05) as client,
            pytest.raises(ServiceAway, match="in time"),
        ):
            client.search("When?")


@pytest.mark.parametrize(
    "reply", [http(b"<html>", "text/html"), http(b"[]"), http(b"{}"), http(b"\xff")]
)
@pytest.mark.parametrize(
    "call", [lambda client: client.collections(), lambda client: client.ask("When?")]
)
def test_another_service_at_the_address(
    connect: Connect, reply: bytes, call: Callable[[Client], Any]
) -> None:
    with (
        answering(reply) as address,
        connect(address) as client,
        pytest.raises(ServiceError, match="is not Promptly"),
    ):
        call(client)


def test_a_problem_without_a_reason(connect: Connect) -> None:
    reply = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbad"
    with (
        answering(reply) as address,
        connect(address) as client,
        pytest.raises(ServiceError) as caught,
    ):
        client.collections()
    assert (caught.value.status, caught.value.title) == (502, "Bad Gateway")


def test_problems_are_of_their_kind(client: Client) -> None:
    with pytest.raises(InvalidInput, match="less than or equal") as caught:
        client.search("When?", k=1000)
    assert (caught.value.status, caught.value.field) == (422, "k")
    assert len(caught.value.request_id) == 32
    with pytest.raises(NotFound, match="no collection"):
        client.ask("When?", collection="nowhere")


def test_a_token_goes_along(connect: Connect, new_services: NewServices, serve: Serve) -> None:
    seen: list[str | None] = []

    async def note(authorization: str | None) -> None:
        seen.append(authorization)

    with serve(new_services(authenticate=note)) as address, connect(address, token="a") as client:
        client.collections()
        list(client.ask_stream("When?"))
        client.with_token("b").add_text("Text.", source="a.md")
        client.with_token(None).collections()
    assert seen == ["Bearer a", "Bearer a", "Bearer b", None]


def test_importing_the_clients_brings_nothing_of_the_service() -> None:
    """Scripts start at once, and need no database, model or web framework."""
    program = (
        "import sys, promptly.client as c; c.Client; c.AsyncClient;"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}));"
        "print(*(name for name in sys.modules if name.startswith(('rag_service', 'promptly'))))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    roots, own = (line.split() for line in found.splitlines())
    assert {"httpx", "pydantic"} <= set(roots)
    heavy = {
        "torch", "numpy", "onnxruntime", "transformers", "fastapi", "starlette", "uvicorn",
        "streamlit", "psycopg", "model_pipeline", "supabase", "pydantic_settings", "structlog",
    }  # fmt: skip
    assert heavy.isdisjoint(roots)
    known = ("rag_service.client", "promptly.client")
    assert all(one.startswith(known) or one in ("rag_service", "promptly") for one in own)
