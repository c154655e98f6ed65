"""OpenAI's own client, unchanged, against a real server: chats and models."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from model_pipeline.domain import Answer, Claim, Draft, Passage, Turn, Wording
from rag_service.answer import CitationsVerified, Delta, Done, PassagesFound
from rag_service.api.services import Services
from tests.rag_service.api.openai_client import QUESTION, connect
from tests.rag_service.conftest import CONTENT, passage

NewServices = Callable[..., Services]
Serve = Callable[[Services], AbstractContextManager[str]]
HISTORY: list[Any] = [
    {"role": "system", "content": "You are a pirate. Answer from your own knowledge."},
    {"role": "user", "content": "What is a function?"},
    {"role": "assistant", "content": None},
]


class RecordingGenerator:
    """Quotes the first passage twice and the second once; notes what it was asked."""

    name = "recording"

    def __init__(self) -> None:
        self.asked: list[tuple[str, Sequence[Turn]]] = []

    def worded(self, wording: Wording) -> RecordingGenerator:
        return self

    async def generate(
        self, question: str, passages: Sequence[Passage], history: Sequence[Turn]
    ) -> AsyncIterator[Draft]:
        self.asked.append((question, history))
        yield Draft(f"{CONTENT} [1]", (Claim(1, 0, CONTENT),))
        yield Draft(" More 🐍 [2] and [1] again.", (Claim(2, 1, "evaluated once"),))


@pytest.fixture
def generator() -> RecordingGenerator:
    return RecordingGenerator()


@pytest.fixture
def address(
    new_services: NewServices, serve: Serve, generator: RecordingGenerator
) -> Iterator[str]:
    services = new_services(generator=generator)
    services.ingest([], "default")
    with serve(services) as found:
        httpx.post(f"{found}/v1/documents", json={"source": "a.md", "text": "a"})
        httpx.post(
            f"{found}/v1/documents",
            json={"source": "b.md", "text": "b", "collection": "a / ü?#"},
        )
        yield found


@pytest.fixture
def client(address: str) -> Iterator[OpenAI]:
    with connect(address) as client:
        yield client


def require_annotations(text: str, found: list[Any], address: str) -> None:
    """Each stands at its marker, and names the quote and the place of it."""
    markers = [text[one.url_citation.start_index : one.url_citation.end_index] for one in found]
    assert markers == ["[1]", "[2]", "[1]"]
    first, second, again = (one.url_citation for one in found)
    assert (first.quote, second.quote) == (CONTENT, "evaluated once")
    assert (first.source, second.source, first.title) == ("0.md", "1.md", "Functions")
    assert first.url == f"{address}/v1/documents/{passage(0).document_id}"
    assert (first.chunk_id, first.n) == (str(passage(0).chunk_id), 1)
    at = second.start - passage(1).start
    assert CONTENT[at : at + second.end - second.start] == second.quote
    assert again.quote == first.quote


def test_a_chat(client: OpenAI, generator: RecordingGenerator, address: str) -> None:
    reply = client.chat.completions.create(model="promptly", messages=[*HISTORY, *QUESTION])
    [choice] = reply.choices
    assert choice.message.content == f"{CONTENT} [1] More 🐍 [2] and [1] again."
    assert choice.finish_reason == "stop"
    assert choice.message.annotations is not None
    require_annotations(choice.message.content, choice.message.annotations, address)
    [(question, history)] = generator.asked
    assert question.startswith("When are defaults evaluated?")
    # The system's message reaches no generator.
    assert list(history) == [Turn("user", "What is a function?"), Turn("assistant", "")]
    assert (reply.model, reply.system_fingerprint) == ("promptly", "release")
    assert reply.usage is not None
    said = len("What is a function? When are defaults evaluated?".split())
    assert reply.usage.prompt_tokens == said
    assert reply.usage.completion_tokens == len(choice.message.content.split())
    assert reply.usage.total_tokens == said + reply.usage.completion_tokens
    about = reply.promptly  # type: ignore[attr-defined]
    assert (about["declined"], about["complete"], about["dropped_citations"]) == (False, True, 0)


def test_a_streamed_chat_is_the_same(client: OpenAI, address: str) -> None:
    chunks = list(
        client.chat.completions.create(
            model="promptly",
            messages=QUESTION,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    whole = client.chat.completions.create(model="promptly", messages=QUESTION)
    [(identity, created, model)] = {(one.id, one.created, one.model) for one in chunks}
    assert identity.startswith("chatcmpl-") and model == "promptly"
    assert abs(time.time() - created) < 60
    *pieces, last, usage = chunks
    deltas = [one.choices[0].delta for one in pieces]
    assert deltas[0].role == "assistant"
    text = "".join(one.content or "" for one in deltas)
    assert text == whole.choices[0].message.content
    assert {one.choices[0].finish_reason for one in pieces} == {None}
    assert last.choices[0].finish_reason == "stop"
    found = client.chat.completions.create(model="promptly", messages=QUESTION)
    annotations = last.choices[0].delta.annotations  # type: ignore[attr-defined]
    assert annotations == [one.model_dump() for one in found.choices[0].message.annotations or ()]
    assert (usage.choices, usage.usage) == ([], whole.usage)
    assert {one.usage for one in (*pieces, last)} == {None}
    assert last.promptly["declined"] is False  # type: ignore[attr-defined]


def test_the_async_client_too(address: str) -> None:
    async def main() -> tuple[str, str, int]:
        async with AsyncOpenAI(base_url=f"{address}/v1", api_key="any") as client:
            whole = await client.chat.completions.create(model="promptly", messages=QUESTION)
            stream = await client.chat.completions.create(
                model="promptly", messages=QUESTION, stream=True
            )
            text = ""
            async for chunk in stream:
                text += chunk.choices[0].delta.content or ""
            models = [one async for one in client.models.list()]
            return whole.choices[0].message.content or "", text, len(models)

    whole, streamed, models = asyncio.run(main())
    assert whole == streamed != ""
    assert models == 4


def test_the_streams_own_form(address: str) -> None:
    """As those read it that are not written in Python."""
    body = {"model": "promptly", "messages": QUESTION, "stream": True}
    reply = httpx.post(f"{address}/v1/chat/completions", json=body)
    assert reply.headers["content-type"].startswith("text/event-stream")
    events = reply.content.split(b"\n\n")
    assert events[-2:] == [b"data: [DONE]", b""]
    first, *_, last = [json.loads(one.removeprefix(b"data: ")) for one in events[:-2]]
    assert first["object"] == last["object"] == "chat.completion.chunk"
    assert "usage" not in last


def test_models_and_the_collections_they_answer_from(client: OpenAI) -> None:
    listed = [one.id for one in client.models.list()]
    assert listed == ["promptly", "promptly/a / ü?#", "promptly/default", "fake"]
    for one in listed:
        assert client.models.retrieve(one).id == one
    for one in ("gpt-5", "promptly/", "promptly/nowhere", "fake/default"):
        with pytest.raises(openai.NotFoundError) as caught:
            client.models.retrieve(one)
        assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    for one in ("promptly", "promptly/default"):
        client.chat.completions.create(model=one, messages=QUESTION)
    for one in ("gpt-5", "fake", "promptly/", "promptly/nowhere"):
        for stream in (False, True):
            with pytest.raises(openai.NotFoundError) as caught:
                client.chat.completions.create(model=one, messages=QUESTION, stream=stream)
            assert caught.value.code == "model_not_found"


def test_options_go_in_the_extra_body(client: OpenAI) -> None:
    def ask(model: str = "promptly", **options: Any) -> Any:
        return client.chat.completions.create(
            model=model, messages=QUESTION, extra_body={"promptly": options}
        )

    ask(collection="default", filter={"lang": "en"}, k=2)
    ask("promptly/default", collection="default")
    with pytest.raises(openai.NotFoundError, match="no collection 'nowhere'"):
        ask(collection="nowhere")
    with pytest.raises(openai.BadRequestError, match="leave one out"):
        ask("promptly/default", collection="a")
    with pytest.raises(openai.BadRequestError) as caught:
        ask(k=1000)
    assert caught.value.param == "promptly.k"
    with pytest.raises(openai.BadRequestError, match=r"no field 'promptly\.passages'"):
        ask(passages=3)
    with pytest.raises(openai.BadRequestError, match="filter"):
        ask(filter={"year": {"over": 1}})


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"stream": 0}, "stream"),
        ({"stream": "true"}, "stream"),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    ],
)
def test_only_what_is_true_or_false_is_taken_for_it(
    client: OpenAI, given: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError, match="boolean") as caught:
        body = {"model": "promptly", "messages": QUESTION, **given}
        client.post("/chat/completions", cast_to=object, body=body)
    assert caught.value.param == param


def test_parts_of_text_are_a_text_and_no_other_part_is_read(
    client: OpenAI, generator: RecordingGenerator
) -> None:
    parts = [{"type": "text", "text": "When are"}, {"type": "text", "text": "defaults evaluated?"}]
    client.chat.completions.create(
        model="promptly",
        messages=[{"role": "user", "content": parts}],  # type: ignore[list-item]
    )
    assert generator.asked[-1][0].split() == "When are defaults evaluated?".split()
    image: Any = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]
    with pytest.raises(openai.BadRequestError, match="'image_url', and only texts are read") as bad:
        client.chat.completions.create(
            model="promptly", messages=[{"role": "user", "content": [*parts, *image]}]
        )
    assert bad.value.param == "messages.0.content"


def test_what_changes_nothing_of_an_extract_is_accepted(client: OpenAI) -> None:
    """All that chat UIs send along; tools are offers."""
    tool: Any = {"type": "function", "function": {"name": "f", "parameters": {}}}
    called: list[Any] = [
        {"role": "user", "content": "What time is it?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f"}}],
        },
        {"role": "tool", "tool_call_id": "1", "content": "Noon."},
        {"role": "assistant", "content": "It is noon."},
    ]
    reply = client.chat.completions.create(
        model="promptly",
        messages=[*called, *QUESTION],
        tools=[tool],
        tool_choice="auto",
        top_p=0.1,
        frequency_penalty=0.5,
        logit_bias={"1": 1},
        metadata={"chat": "1"},
        temperature=1.5,
        max_tokens=1,
        max_completion_tokens=1,
        seed=7,
        stop=["a"],
        user="somebody",
        n=1,
        logprobs=False,
        response_format={"type": "text"},
        presence_penalty=1,
        extra_body={"keep_alive": "5m", "functions": [], "stream": None, "top_k": 40},
    )
    assert (reply.choices[0].message.content or "").startswith(CONTENT)
    assert reply.choices[0].finish_reason == "stop"


class Wordy(RecordingGenerator):
    """Notes how it is to write, and is cut off where that has a limit."""

    def __init__(self) -> None:
        super().__init__()
        self.wordings: list[Wording] = []

    def worded(self, wording: Wording) -> Wordy:
        self.wordings.append(wording)
        return self if wording.max_tokens is None else _CutOff()


class _CutOff(Wordy):
    name = "cut off"

    async def generate(self, *given: Any) -> AsyncIterator[Draft]:
        async for draft in super().generate(*given):
            yield draft
        yield Draft("", cut=True)


def test_how_a_model_is_to_write_reaches_it(new_services: NewServices, serve: Serve) -> None:
    generator = Wordy()
    with serve(new_services(generator=generator)) as address, connect(address) as client:

        def ask(**given: Any) -> Any:
            return client.chat.completions.create(model="promptly", messages=QUESTION, **given)

        ask(temperature=0.5, top_p=0.9, seed=7, stop=["a", ""], presence_penalty=1)
        ask(stop="END")
        assert generator.wordings == [
            Wording(temperature=0.5, top_p=0.9, seed=7, stop=("a",)),
            Wording(stop=("END",)),
        ]
        # What draws nothing, and asks for no more than it has, is the same answer.
        ask()
        ask(temperature=0, top_p=0.5, seed=7, stop=None)
        assert len(generator.wordings) == 2
        cut = ask(max_tokens=50, max_completion_tokens=9)
        assert generator.wordings[-1] == Wording(max_tokens=9)
        assert cut.choices[0].finish_reason == "length"
        assert cut.system_fingerprint == "release/max_tokens=9"
        *_, last = ask(max_tokens=9, stream=True)
        assert last.choices[0].finish_reason == "length"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/answers"])
def test_who_leaves_before_a_whole_answer_ends_the_work_for_it(
    new_services: NewServices, serve: Serve, path: str
) -> None:
    """Over a bare socket that is closed; who stays meanwhile is answered."""
    begun, stopped, go = threading.Event(), threading.Event(), threading.Event()

    class Endless(RecordingGenerator):
        async def generate(self, question: str, *given: Any) -> AsyncIterator[Draft]:
            if "Leaving" in question:
                try:
                    begun.set()
                    while True:
                        yield Draft("more ")
                        await asyncio.sleep(0.005)
                finally:
                    stopped.set()
            while not go.is_set():  # noqa: ASYNC110 - set by another thread
                await asyncio.sleep(0.005)
            async for draft in super().generate(question, *given):
                yield draft

    def asked(question: str) -> dict[str, Any]:
        messages = [{"role": "user", "content": question}]
        return (
            {"question": question}
            if "answers" in path
            else {"model": "promptly", "messages": messages}
        )

    with serve(new_services(generator=Endless())) as address, ThreadPoolExecutor(1) as thread:
        staying = thread.submit(httpx.post, f"{address}{path}", json=asked("Staying?"), timeout=30)
        body = json.dumps(asked("Leaving?")).encode()
        host, _, port = address.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(
                f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            assert begun.wait(10)
            assert not stopped.wait(0.2)  # it works as long as somebody is there
        assert stopped.wait(10)
        go.set()
        assert staying.result(30).status_code == 200


def test_half_a_character_fails_nothing(address: str, generator: RecordingGenerator) -> None:
    """A lone surrogate, which JSON can hold and no text."""
    messages = [
        {"role": "assistant", "content": "\ud800"},
        {"role": "user", "content": "When \ud83d?"},
    ]
    reply = httpx.post(
        f"{address}/v1/chat/completions",
        content=json.dumps({"model": "promptly", "messages": messages}).encode(),
        headers={"Content-Type": "application/json"},
    )
    assert reply.status_code == 200
    assert generator.asked[-1][1] == [Turn("assistant", "?")]


def test_a_long_chat_keeps_its_latest_turns(client: OpenAI, generator: RecordingGenerator) -> None:
    said: list[Any] = [{"role": "assistant", "content": f"{n}" + "a" * 30_000} for n in range(5)]
    many: list[Any] = [{"role": "user", "content": f"Question {n}."} for n in range(150)]
    client.chat.completions.create(model="promptly", messages=[*many, *said, *QUESTION])
    history = generator.asked[-1][1]
    assert len(history) == 100
    assert history[0].content == "Question 55."
    assert {len(turn.content) for turn in history[-5:]} == {20_000}


def test_what_was_taken_back_is_followed_by_what_holds(
    new_services: NewServices, serve: Serve
) -> None:
    class TakingBack:
        async def stream(self, question: str, **_: Any) -> Any:
            yield PassagesFound((), complete=True)
            yield Delta("The moon is of cheese.")
            yield CitationsVerified(())
            yield Done(
                Answer(passage(0).chunk_id, "This is not in the documents.", True, (), (), "r")
            )

    with serve(new_services(answerer=TakingBack())) as address, connect(address) as client:
        stream = client.chat.completions.create(model="promptly", messages=QUESTION, stream=True)
        *chunks, last = list(stream)
    text = "".join(one.choices[0].delta.content or "" for one in chunks)
    assert text == "The moon is of cheese.\n\nThis is not in the documents."
    assert last.promptly["declined"] is True  # type: ignore[attr-defined]


def test_work_stops_when_its_reader_leaves(new_services: NewServices, serve: Serve) -> None:
    stopped = threading.Event()

    class Endless:
        async def stream(self, question: str, **_: Any) -> Any:
            try:
                while True:
                    yield Delta("more ")
                    await asyncio.sleep(0.005)
            finally:
                stopped.set()

    with serve(new_services(answerer=Endless())) as address:
        with connect(address) as client:
            stream = client.chat.completions.create(
                model="promptly", messages=QUESTION, stream=True
            )
            next(stream)
            stream.close()
        assert stopped.wait(5)
