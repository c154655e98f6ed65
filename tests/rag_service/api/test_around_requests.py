"""What stands around every request: errors as problems, ids, headers, hosts, limits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from model_pipeline.domain import SearchResult
from model_pipeline.errors import (
    ConfigurationError,
    Conflict,
    InvalidInput,
    PromptlyError,
    StoreUnavailable,
    TooLarge,
)
from rag_service.answer import Delta, Event, PassagesFound
from rag_service.api.app import create_app
from rag_service.api.services import Services

NewServices = Callable[..., Services]
QUESTION = {"query": "When?"}


class Failing:
    """A retriever, an answerer and a store that all raise `error`."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def retrieve(self, query: str, **_: Any) -> SearchResult:
        raise self.error

    async def answer(self, question: str, **_: Any) -> Any:
        raise self.error

    async def stream(self, question: str, **_: Any) -> AsyncIterator[Event]:
        raise self.error
        yield

    def list_documents(self, **_: Any) -> Any:
        raise self.error

    def ingest(self, *_: Any) -> Any:
        raise self.error

    async def ready(self) -> None:
        raise self.error


def failing_api(new_services: NewServices, error: Exception) -> TestClient:
    bad = Failing(error)
    services = new_services(
        retriever=bad, answerer=bad, documents=bad, ingest=bad.ingest, ready=bad.ready
    )
    return TestClient(create_app(services))


def everywhere(api: TestClient) -> list[Any]:
    return [
        api.post("/v1/search", json=QUESTION),
        api.post("/v1/answers", json={"question": "When?"}),
        api.post("/v1/answers", json={"question": "When?", "stream": True}),
        api.get("/v1/documents"),
        api.post("/v1/documents", json={"source": "a.md", "text": "a"}),
    ]


@pytest.mark.parametrize(
    "error",
    [InvalidInput("No."), TooLarge("No."), Conflict("No."), ConfigurationError("No.")],
)
def test_errors_become_problems_with_their_status(
    new_services: NewServices, error: PromptlyError
) -> None:
    for response in everywhere(failing_api(new_services, error)):
        assert response.status_code == error.status
        assert response.headers["content-type"] == "application/problem+json"
        body = response.json()
        assert (body["title"], body["detail"]) == (error.title, "No.")


def test_an_absent_store_is_503_and_says_when_to_come_back(new_services: NewServices) -> None:
    error = StoreUnavailable("The database does not answer: try again.", retry_after_s=7)
    api = failing_api(new_services, error)
    for response in [*everywhere(api), api.get("/readyz")]:
        assert response.status_code == 503
        assert response.headers["retry-after"] == "7"
    assert api.get("/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize("error", [ConfigurationError("No."), OSError("x"), TimeoutError()])
def test_whatever_keeps_it_from_being_ready_is_503(
    new_services: NewServices, error: Exception
) -> None:
    response = failing_api(new_services, error).get("/readyz")
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0


@pytest.mark.parametrize("message", ["secret", "secret \ud800"])
def test_what_nobody_foresaw_is_500_without_a_traceback(
    new_services: NewServices, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for response in everywhere(failing_api(new_services, RuntimeError(message))):
        assert response.status_code == 500
        assert "secret" not in response.text
        assert response.json()["request_id"] in response.json()["detail"]
    assert "RuntimeError" in capsys.readouterr().out


def test_a_store_that_goes_away_mid_stream_is_an_error_event(new_services: NewServices) -> None:
    class Breaking(Failing):
        async def stream(self, question: str, **_: Any) -> AsyncIterator[Event]:
            yield PassagesFound((), complete=True)
            yield Delta("Half")
            raise self.error

    breaking = Breaking(StoreUnavailable("The database does not answer: try again."))
    api = TestClient(create_app(new_services(answerer=breaking)))
    response = api.post("/v1/answers", json={"question": "When?", "stream": True})
    last = response.text.strip().split("\n\n")[-1].split("\n")
    assert last[0] == "event: error"
    problem = json.loads(last[1].removeprefix("data: "))
    assert problem["status"] == 503
    assert problem["request_id"] == response.headers["x-request-id"]


def test_a_request_has_its_time_and_no_more(new_services: NewServices) -> None:
    class Endless(Failing):
        async def retrieve(self, query: str, **_: Any) -> SearchResult:
            await asyncio.sleep(60)
            raise AssertionError

        async def stream(self, question: str, **_: Any) -> AsyncIterator[Event]:
            yield Delta("Half")
            await asyncio.sleep(60)

    endless = Endless(AssertionError())
    services = new_services(retriever=endless, answerer=endless, limits={"request_timeout_s": 0.05})
    api = TestClient(create_app(services))
    response = api.post("/v1/search", json=QUESTION)
    assert response.status_code == 503
    assert "too long" in response.json()["detail"]
    assert "retry-after" in response.headers
    streamed = api.post("/v1/answers", json={"question": "When?", "stream": True})
    assert streamed.text.startswith("event: delta")
    assert "event: error" in streamed.text


def test_unknown_addresses_and_methods_are_problems(api: TestClient) -> None:
    missing = api.get("/v1/nothing")
    assert (missing.status_code, missing.json()["title"]) == (404, "Not Found")
    wrong = api.get("/v1/search")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    for response in (missing, wrong):
        assert response.headers["content-type"] == "application/problem+json"
    assert api.options("/v1/collections").headers["allow"] == "GET, POST"


def test_ids_and_headers_are_on_every_response(api: TestClient) -> None:
    for response in [
        api.post("/v1/search", json=QUESTION),
        api.get("/v1/nothing"),
        api.get("/healthz"),
        api.delete("/v1/documents/7"),
        api.get("/healthz", headers={"Host": "elsewhere"}),
    ]:
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["cache-control"] == "no-store"
        assert len(response.headers["x-request-id"]) == 32
        assert "dur=" in response.headers["server-timing"]
        assert "access-control-allow-origin" not in response.headers


def test_a_given_request_id_comes_back_unless_it_is_odd(api: TestClient) -> None:
    def answered(given: str) -> str:
        response = api.get("/healthz", headers={"X-Request-Id": given})
        return response.headers["x-request-id"]

    assert answered("trace-1.a_B") == "trace-1.a_B"
    for odd in ("", "a b", "x" * 65, '"><script>'):
        assert answered(odd) != odd


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::1"])
def test_other_hosts_are_refused(api: TestClient, host: str) -> None:
    response = api.post("/v1/search", json=QUESTION, headers={"Host": host})
    assert response.status_code == 421
    assert "PROMPTLY_ALLOWED_HOSTS" in response.json()["detail"]


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "TESTSERVER"])
def test_known_hosts_are_served(api: TestClient, host: str) -> None:
    assert api.post("/v1/search", json=QUESTION, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://[", "file://"])
def test_pages_of_other_sites_are_refused(api: TestClient, origin: str) -> None:
    files = [("files", ("a.md", b"a"))]
    response = api.post("/v1/documents", files=files, headers={"Origin": origin})
    assert response.status_code == 403
    assert api.get("/v1/documents").json()["documents"] == []


def test_pages_of_its_own_are_served(api: TestClient) -> None:
    response = api.post("/v1/search", json=QUESTION, headers={"Origin": "http://127.0.0.1:8000"})
    assert response.status_code == 200


def test_too_many_at_once_are_told_to_come_back(new_services: NewServices) -> None:
    async def ask() -> list[int]:
        app = create_app(new_services(retriever=gate, limits={"concurrency": 2}))

        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            held = [asyncio.create_task(client.post("/v1/search", json=QUESTION)) for _ in "12"]
            await gate.full.wait()
            refused = await client.post("/v1/search", json=QUESTION)
            alive = await client.get("/healthz")
            gate.open.set()
            done = await asyncio.gather(*held)
            again = await client.post("/v1/search", json=QUESTION)
        return [response.status_code for response in (refused, alive, *done, again)]

    class Gate:
        def __init__(self) -> None:
            self.open = asyncio.Event()
            self.full = asyncio.Event()
            self.waiting = 0

        async def retrieve(self, query: str, **_: Any) -> SearchResult:
            self.waiting += 1
            if self.waiting == 2:
                self.full.set()
            await self.open.wait()
            return SearchResult((), complete=True, timings_ms={"total": 1.0})

    gate = Gate()
    assert asyncio.run(ask()) == [503, 200, 200, 200, 200]


def test_metadata_deeper_than_the_encoder_goes_still_comes_out(
    new_services: NewServices,
) -> None:
    nested: dict[str, Any] = {}
    for _ in range(400):
        nested = {"a": nested}
    real = new_services().retriever

    class Deep(Failing):
        async def retrieve(self, query: str, **more: Any) -> SearchResult:
            result = await real.retrieve(query, **more)
            first = replace(result.passages[0], metadata=nested)
            return replace(result, passages=(first,))

    api = TestClient(create_app(new_services(retriever=Deep(AssertionError()))))
    response = api.post("/v1/search", json=QUESTION)
    assert response.json()["passages"][0]["metadata"] == nested


def test_a_stream_left_early_is_closed(new_services: NewServices) -> None:
    """The answerer's generator gets to clean up when its reader goes."""
    closed: list[bool] = []

    class Watched(Failing):
        async def stream(self, question: str, **_: Any) -> AsyncIterator[Event]:
            try:
                while True:
                    yield Delta("more ")
                    await asyncio.sleep(0)
            finally:
                closed.append(True)

    async def leave() -> None:
        app = create_app(new_services(answerer=Watched(AssertionError())))
        sent: list[Any] = []
        gone = asyncio.Event()
        body = json.dumps({"question": "When?", "stream": True}).encode()
        asked = False

        async def receive() -> dict[str, Any]:
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": body, "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)
            if len(sent) == 20:
                gone.set()
            await asyncio.sleep(0)

        headers = [(b"host", b"testserver"), (b"content-type", b"application/json")]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/v1/answers",
            "raw_path": b"/v1/answers",
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        await asyncio.wait_for(app(scope, receive, send), 5)
        assert len(sent) < 100
        assert closed == [True]

    asyncio.run(leave())
