"""Every metric moves: the real service over HTTP, a model behind a real endpoint, and /metrics."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from model_pipeline.embedding.onnx_embedder import OnnxEmbedder
from promptly.settings import Settings
from rag_service.generate.transformers_writer import TransformersWriter, Weights
from tests import models
from tests.language_models import make_language_model
from tests.servers import openai_compatible, promptly_api
from tests.servers.openai_compatible import Endpoint

# The first citation stands, the second is of no passage.
SAYS = "The shop is closed on public holidays [1][7]."
QUESTION = "When is the shop closed?"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@dataclass
class Told:
    """The service's metrics, before something and after it."""

    address: str
    before: Samples

    def moved(self, name: str, **labels: str) -> float:
        """By how much since; of a histogram name its count."""
        place = name, frozenset(labels.items())
        return samples(self.address).get(place, 0.0) - self.before.get(place, 0.0)


def samples(address: str) -> Samples:
    text = httpx.get(f"{address}/metrics", trust_env=False).raise_for_status().text
    families = text_string_to_metric_families(text)
    return {
        (one.name, frozenset(one.labels.items())): one.value
        for family in families
        for one in family.samples
    }


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    model = make_language_model(tmp_path_factory.mktemp("llama") / "tiny", says=SAYS)
    writer = TransformersWriter(Weights(str(model)), max_new_tokens=60)
    with openai_compatible.running(Endpoint(writer)) as made:
        yield made


@pytest.fixture(scope="module")
def address(
    module_database: str,
    endpoint: Endpoint,
    embedder: OnnxEmbedder,
    embedder_cache: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    with models.ingesting(module_database, embedder) as ingest:
        models.put(ingest, "shop", ["The shop opens at nine. It is closed on public holidays."])
    home = tmp_path_factory.mktemp("home")
    (home / "cache").symlink_to(embedder_cache)
    settings = Settings(
        home=home, generator=endpoint.spec, max_new_tokens=60, generator_timeout_s=5
    )
    with promptly_api.running(settings, module_database) as address:
        yield address


@pytest.fixture
def told(address: str) -> Told:
    return Told(address, samples(address))


def ask(address: str, path: str = "/v1/answers", **body: object) -> httpx.Response:
    reply = httpx.post(f"{address}{path}", json=body, timeout=30, trust_env=False)
    return reply.raise_for_status()


def test_a_generated_answer_moves_requests_stages_citations_and_tokens(
    told: Told, endpoint: Endpoint
) -> None:
    answer = ask(told.address, question=QUESTION).json()
    assert len(answer["citations"]) == answer["dropped_citations"] == 1
    route = {"route": "/v1/answers"}
    assert told.moved("promptly_http_requests_total", method="POST", status="200", **route) == 1
    assert told.moved("promptly_http_request_seconds_count", **route) == 1
    for stage in ("cache", "embed", "search", "generate", "verify", "total"):
        moved = told.moved("promptly_stage_seconds_count", route="answer", stage=stage)
        assert moved == 1, stage
    assert told.moved("promptly_stage_seconds_sum", route="answer", stage="generate") > 0
    assert told.moved("promptly_answers_total", result="answered") == 1
    for result in ("verified", "dropped"):
        assert told.moved("promptly_citations_total", result=result) == 1, result
    asked = endpoint.asked[-1]
    prompt = sum(endpoint.writer.count_tokens(one["content"]) for one in asked["messages"])
    assert told.moved("promptly_tokens_total", kind="prompt") == prompt
    written = endpoint.writer.count_tokens(SAYS)
    assert told.moved("promptly_tokens_total", kind="completion") == written


def test_a_look_up_that_finds_nothing_is_a_miss(told: Told) -> None:
    def moved() -> list[float]:
        return [
            told.moved("promptly_cache_total", cache="answers", result=result)
            for result in ("miss", "hit", "reworded")
        ]

    question = "What is closed on public holidays?"
    ask(told.address, question=question)
    assert moved() == [1, 0, 0]
    # What was said with a citation that fell is not kept.
    ask(told.address, question=question)
    assert moved() == [2, 0, 0]


def test_searches_move_by_what_they_found(told: Told) -> None:
    ask(told.address, "/v1/search", query=QUESTION)
    ask(told.address, "/v1/search", query=QUESTION, filter={"lang": "xx"})
    declined = ask(told.address, question=QUESTION, filter={"lang": "xx"}).json()
    assert declined["declined"]
    for route, result in (("search", "found"), ("search", "empty"), ("answer", "empty")):
        assert told.moved("promptly_searches_total", route=route, result=result) == 1
    assert told.moved("promptly_stage_seconds_count", route="search", stage="search") == 2
    assert told.moved("promptly_answers_total", result="declined") == 1


def test_the_queue_moves_with_what_waits_in_it(told: Told, module_database: str) -> None:
    """Nobody works here: what is written with its text waits."""
    with psycopg.connect(module_database) as connection:
        connection.execute(
            "insert into documents (collection_id, source, content) "
            "select collection_id, 'later.md', 'Later.' from collections"
        )
    deadline = time.monotonic() + 20
    while told.moved("promptly_jobs", state="waiting") != 1:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_the_release_is_the_one_that_answers(told: Told) -> None:
    release = ask(told.address, question=QUESTION).json()["release_id"]
    assert samples(told.address)["promptly_release", frozenset({("release", release)})] == 1


def test_an_answer_given_again_is_a_hit(
    module_database: str, embedder_cache: Path, tmp_path: Path, address: str
) -> None:
    """By the documents' own sentences, which are kept."""
    (tmp_path / "cache").symlink_to(embedder_cache)
    settings = Settings(home=tmp_path)
    with promptly_api.running(settings, module_database) as address:
        told = Told(address, samples(address))
        cached = [
            ask(address, question=question).json()["cached"]
            for question in (QUESTION, QUESTION, "Please, when is the shop closed?")
        ]
        assert cached == [False, True, True]
        for result in ("miss", "hit", "reworded"):
            assert told.moved("promptly_cache_total", cache="answers", result=result) == 1, result
        assert told.moved("promptly_searches_total", route="answer", result="found") == 1
        assert told.moved("promptly_answers_total", result="answered") == 3
        assert told.moved("promptly_tokens_total", kind="prompt") == 0
