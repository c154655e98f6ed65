"""OpenAI's own client asking for embeddings, against a real server."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from numpy.typing import NDArray
from openai import OpenAI

from rag_service.api.services import Services
from tests.rag_service.api.openai_client import connect
from tests.rag_service.conftest import FakeEmbedder

NewServices = Callable[..., Services]
Serve = Callable[[Services], AbstractContextManager[str]]


class HashingEmbedder(FakeEmbedder):
    """A different vector for each text; notes how many at once, and whether two ever overlapped."""

    spec = "hashing:8"
    max_tokens = 12

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.overlapped = False
        self._lock = threading.Lock()

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if not self._lock.acquire(blocking=False):
            self.overlapped = True
            return np.zeros((len(texts), self.dimensions), np.float32)
        try:
            with pytest.raises(RuntimeError):
                asyncio.get_running_loop()
            time.sleep(0.002)
            self.sizes.append(len(texts))
            rows = [np.random.default_rng(len(one)).normal(size=self.dimensions) for one in texts]
            return np.stack(rows).astype(np.float32)
        finally:
            self._lock.release()


@pytest.fixture
def embedder() -> HashingEmbedder:
    return HashingEmbedder()


@pytest.fixture
def embedding(
    new_services: NewServices, serve: Serve, embedder: HashingEmbedder
) -> Iterator[OpenAI]:
    with (
        serve(new_services(embedder=lambda: embedder)) as address,
        connect(address) as client,
    ):
        yield client


def test_embeddings_are_the_embedders(embedding: OpenAI, embedder: HashingEmbedder) -> None:
    texts = ["a", "bb bb", "ccc"]
    # The client asks for base64 where nothing is said, and decodes it.
    for more in ({}, {"encoding_format": "float"}, {"dimensions": 8, "user": "u"}):
        reply = embedding.embeddings.create(model="hashing:8", input=texts, **more)  # type: ignore[call-overload]
        found = np.array([one.embedding for one in reply.data], dtype=np.float32)
        assert np.array_equal(found, embedder.embed(texts))
        assert [one.index for one in reply.data] == [0, 1, 2]
        assert (reply.model, reply.usage.prompt_tokens, reply.usage.total_tokens) == (
            "hashing:8", 4, 4,
        )  # fmt: skip
    one = embedding.embeddings.create(model="hashing:8", input="bb bb").data
    assert np.array_equal(np.array(one[0].embedding, np.float32), embedder.embed(["bb bb"])[0])


def test_base64_is_little_endian_float32(embedding: OpenAI, embedder: HashingEmbedder) -> None:
    body = {"model": "hashing:8", "input": "a", "encoding_format": "base64"}
    reply = httpx.post(f"{embedding.base_url}embeddings", json=body).json()
    raw = base64.b64decode(reply["data"][0]["embedding"], validate=True)
    assert np.array_equal(np.frombuffer(raw, "<f4"), embedder.embed(["a"])[0])


def test_many_texts_leave_a_thread_to_questions(
    embedding: OpenAI, embedder: HashingEmbedder
) -> None:
    texts = ["a" * (1 + index % 40) for index in range(100)]

    def ask() -> None:
        found = embedding.embeddings.create(model="hashing:8", input=texts).data
        assert len(found) == 100
        assert found[99].embedding == found[19].embedding

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(embedder.sizes) == sorted([32, 32, 32, 4] * 3)
    assert not embedder.overlapped


@pytest.mark.parametrize(
    ("given", "param", "said"),
    [
        ({"input": []}, "input", "no text"),
        ({"input": " "}, "input", "Text 0"),
        ({"input": ["a", ""]}, "input", "Text 1"),
        ({"input": ["a", 7]}, "input", "in tokens"),
        ({"input": [1, 2]}, "input", "in tokens"),
        ({"input": [[1, 2]]}, "input", "in tokens"),
        ({"input": {"a": 1}}, "input", "no text"),
        ({"input": ["a"] * 2049}, "input", "at most 2,048"),
        ({"input": ["a", "a " * 11]}, "input", "Text 1 of the input has 11 tokens"),
        ({"dimensions": 4}, "dimensions", "8 dimensions, not 4"),
        ({"dimensions": "8"}, "dimensions", "whole number"),
        ({"encoding_format": "int8"}, "encoding_format", "'float' or 'base64'"),
        ({"model": "text-embedding-3-small"}, "model", "no model"),
    ],
)
def test_what_cannot_be_embedded_is_told(
    embedding: OpenAI, given: dict[str, Any], param: str, said: str
) -> None:
    body = {"model": "hashing:8", "input": "a"} | given
    with pytest.raises(openai.APIStatusError) as caught:
        embedding.post("/embeddings", cast_to=object, body=body)
    assert caught.value.status_code in (400, 404, 413)
    assert caught.value.param == param
    assert said in caught.value.message


def test_what_is_public_embeds_nothing(new_services: NewServices, serve: Serve) -> None:
    with serve(new_services(anonymous=True)) as address, connect(address) as client:
        with pytest.raises(openai.AuthenticationError, match="signed in"):
            client.embeddings.create(model="fake", input="a")
        assert [one.id for one in client.models.list()] == ["promptly"]


def test_embedding_has_its_time_and_no_more(new_services: NewServices, serve: Serve) -> None:
    class Slow(HashingEmbedder):
        def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
            time.sleep(0.05)
            return super().embed(texts)

    slow = Slow()
    services = new_services(embedder=lambda: slow, limits={"request_timeout_s": 0.2})
    with serve(services) as address, connect(address) as client:
        with pytest.raises(openai.InternalServerError, match="too long"):
            client.embeddings.create(model="hashing:8", input=["a"] * 2000)
        time.sleep(0.1)
        assert len(slow.sizes) < 10  # the pieces after that were never begun
        assert client.embeddings.create(model="hashing:8", input="a").data
