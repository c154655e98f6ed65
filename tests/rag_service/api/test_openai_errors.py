"""What cannot be done, as OpenAI's own client tells it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI

from model_pipeline.errors import StoreUnavailable, Unauthorized
from rag_service.answer import Delta, PassagesFound
from rag_service.api.services import Services
from tests.rag_service.api.openai_client import QUESTION, connect

NewServices = Callable[..., Services]
Serve = Callable[[Services], AbstractContextManager[str]]

ANSWER = {"role": "assistant", "content": "When the definition is executed."}
SYSTEM = {"role": "system", "content": "You are a pirate."}


@pytest.fixture
def address(new_services: NewServices, serve: Serve) -> Iterator[str]:
    with serve(new_services()) as found:
        yield found


@pytest.fixture
def client(address: str) -> Iterator[OpenAI]:
    with connect(address) as client:
        yield client


@pytest.mark.parametrize(
    "given",
    [
        {"n": 2},
        {"tool_choice": "required", "tools": [{"type": "function", "function": {"name": "f"}}]},
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"function_call": {"name": "f"}, "functions": [{"name": "f"}]},
        {"logprobs": True},
        {"top_logprobs": 3},
        {"response_format": {"type": "json_object"}},
        {"modalities": ["text", "audio"]},
    ],
)
def test_what_no_answer_could_follow_is_refused(client: OpenAI, given: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="promptly", messages=QUESTION, extra_body=given)
    assert caught.value.param == next(iter(given))
    assert caught.value.type == "invalid_request_error"
    assert "leave it out" in caught.value.message


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        ({}, "model", "missing"),
        ({"model": "promptly"}, "messages", "missing"),
        ({"model": "promptly", "messages": []}, "messages", "at least 1"),
        ({"model": "promptly", "messages": [{"role": "god"}]}, "messages.0.role", "'system'"),
        ({"model": "promptly", "messages": [*QUESTION, ANSWER]}, "messages", "end with a question"),
        *(
            ({"model": "promptly", "messages": QUESTION, **given}, next(iter(given)), said)
            for given, said in (
                ({"temperature": 3}, "less than or equal to 2"),
                ({"temperature": "hot"}, "valid number"),
                ({"top_p": 1.5}, "less than or equal to 1"),
                ({"max_tokens": 0}, "greater than or equal to 1"),
                ({"max_completion_tokens": -1}, "greater than or equal to 1"),
                ({"seed": 2**70}, "less than"),
                ({"stop": ["a"] * 17}, "at most 16"),
            )
        ),
        ({"model": "promptly", "messages": [SYSTEM]}, "messages", "end with a question"),
        ({"model": "promptly", "messages": [{"role": "user"}]}, None, "question is empty"),
        ({"model": "promptly", "messages": [{"role": "user", "content": 7}]},
         "messages.0.content", "a text"),
        ({"model": "promptly", "messages": [{"role": "user", "content": ["a"]}]},
         "messages.0.content", "only texts"),
        ({"model": "promptly", "messages": [{"role": "user", "content": "a" * 8001}]},
         None, "at most 8,000"),
    ],
)  # fmt: skip
def test_bad_requests_are_one_sentence(
    address: str, body: dict[str, Any], param: str | None, said: str
) -> None:
    reply = httpx.post(f"{address}/v1/chat/completions", json=body)
    assert reply.status_code in (400, 413)
    assert reply.headers["content-type"] == "application/json"
    error = reply.json()["error"]
    assert said in error["message"]
    assert (error["param"], error["type"]) == (param, "invalid_request_error")


def test_errors_have_the_status_and_the_shape_that_the_client_knows(
    new_services: NewServices, serve: Serve
) -> None:
    class Away:
        async def answer(self, question: str, **_: Any) -> Any:
            raise StoreUnavailable("The database does not answer: try again.", retry_after_s=7)

        async def stream(self, question: str, **_: Any) -> Any:
            raise StoreUnavailable("The database does not answer: try again.", retry_after_s=7)
            yield

    async def nobody(authorization: str | None) -> None:
        if authorization != "Bearer good":
            raise Unauthorized("The token is not valid: sign in again.")

    with serve(new_services(answerer=Away(), authenticate=nobody)) as address:
        with connect(address) as client:
            for call in (
                client.models.list,
                lambda: client.models.retrieve("promptly"),
                lambda: client.embeddings.create(model="fake", input="a"),
                lambda: client.chat.completions.create(model="promptly", messages=QUESTION),
            ):
                with pytest.raises(openai.AuthenticationError) as refused:
                    call()
                assert refused.value.code == "invalid_api_key"
                assert "sign in again" in refused.value.message
        with connect(address, api_key="good") as client:
            for stream in (False, True):
                with pytest.raises(openai.InternalServerError) as caught:
                    client.chat.completions.create(
                        model="promptly", messages=QUESTION, stream=stream
                    )
                assert caught.value.status_code == 503
                assert caught.value.response.headers["retry-after"] == "7"
                assert caught.value.type == "server_error"
                assert caught.value.request_id == caught.value.response.headers["x-request-id"]


def test_what_the_guard_refuses_is_told_the_same_way(
    new_services: NewServices, serve: Serve
) -> None:
    with serve(new_services(limits={"body_bytes": 1000})) as address:
        url = f"{address}/v1/chat/completions"
        long = {"model": "promptly", "messages": [{"role": "user", "content": "a" * 2000}]}
        replies = {
            413: httpx.post(url, json=long),
            421: httpx.post(url, json=long, headers={"Host": "elsewhere"}),
            405: httpx.get(url),
            403: httpx.post(url, json=long, headers={"Origin": "https://evil.example"}),
        }
        for status, reply in replies.items():
            assert reply.status_code == status
            assert reply.json()["error"]["message"].endswith(".")
            assert reply.headers["x-request-id"]
        # Elsewhere a problem stays one.
        kind = httpx.get(f"{address}/v1/nothing").headers["content-type"]
        assert kind == "application/problem+json"


def test_a_store_that_goes_away_mid_stream_ends_it_with_an_error(
    new_services: NewServices, serve: Serve
) -> None:
    class Breaking:
        async def stream(self, question: str, **_: Any) -> Any:
            yield PassagesFound((), complete=True)
            yield Delta("Half")
            raise StoreUnavailable("The database does not answer: try again.")

    with serve(new_services(answerer=Breaking())) as address, connect(address) as client:
        stream = client.chat.completions.create(model="promptly", messages=QUESTION, stream=True)
        assert next(stream).choices[0].delta.role == "assistant"
        assert next(stream).choices[0].delta.content == "Half"
        with pytest.raises(openai.APIError, match="does not answer"):
            next(stream)
