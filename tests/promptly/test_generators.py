"""Each generator from the settings to an answer: over a real database, as the command line does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from model_pipeline.domain import Answer, Turn
from model_pipeline.embedding.onnx_embedder import OnnxEmbedder
from model_pipeline.errors import ConfigurationError, ModelUnavailable
from model_pipeline.store.connect import open_pool
from model_pipeline.store.pg_store import PgStore
from promptly import generators, serving
from promptly.settings import Settings
from rag_service.generate.transformers_writer import TransformersWriter, Weights
from rag_service.generate.writer import Message
from tests import models
from tests.language_models import make_language_model
from tests.promptly.commands import promptly
from tests.rag_service.api.openai_client import connect
from tests.servers import openai_compatible, promptly_api
from tests.servers.openai_compatible import Endpoint

SAYS = "The shop is closed on public holidays [1]."
HOURS = "The shop opens at nine. It is closed on public holidays."
QUESTION = "When is the shop closed?"


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_language_model(tmp_path_factory.mktemp("llama") / "tiny", says=SAYS)


@pytest.fixture(scope="module")
def endpoint(llama: Path) -> Iterator[Endpoint]:
    writer = TransformersWriter(Weights(str(llama)), max_new_tokens=60)
    with openai_compatible.running(Endpoint(writer, key="right")) as serving_it:
        yield serving_it


@pytest.fixture(scope="module")
def stored(module_database: str, embedder: OnnxEmbedder) -> str:
    with models.ingesting(module_database, embedder) as ingest:
        models.put(ingest, "shop", [HOURS])
    return module_database


@pytest.fixture
def home(tmp_path: Path, embedder_cache: Path, embedder: object) -> Path:
    (tmp_path / "cache").symlink_to(embedder_cache)
    return tmp_path


def settings(home: Path, generator: str, key: str | None = None) -> Settings:
    return Settings(
        home=home, generator=generator, openai_api_key=key, generator_timeout_s=5, max_new_tokens=60
    )  # type: ignore[arg-type]  # fmt: skip


def ask(
    given: Settings, database: str, question: str = QUESTION, history: Sequence[Turn] = ()
) -> Answer:
    async def run() -> Answer:
        with open_pool(database, min_size=1, max_size=2) as pool:
            async with serving.answering(given, database, PgStore(pool)) as parts:
                return await parts.answerer.answer(question, history=history)

    return asyncio.run(run())


def test_a_model_in_this_process_answers(home: Path, stored: str, llama: Path) -> None:
    answer = ask(settings(home, f"transformers:{llama}"), stored)
    assert answer.answer == "The shop is closed on public holidays. [1]"
    assert [one.quote for one in answer.citations] == ["It is closed on public holidays."]
    assert answer.release_id.startswith("tiny@")
    assert "/answer-1-" in answer.release_id


def test_a_model_behind_an_endpoint_answers(home: Path, stored: str, endpoint: Endpoint) -> None:
    given = settings(home, endpoint.spec, "right")
    answer = ask(given, stored)
    assert answer.answer == "The shop is closed on public holidays. [1]"
    assert answer.fallback is None
    assert answer.release_id.startswith("openai:tiny@127.0.0.1")
    endpoint.faults.extend([500] * 3)
    answer = ask(given, stored)
    assert "It is closed on public holidays." in answer.answer
    assert answer.fallback is not None
    assert "status 500" in answer.fallback


def test_an_endpoint_that_is_away_does_not_keep_the_service_from_starting(
    home: Path, stored: str
) -> None:
    answer = ask(settings(home, "openai:http://127.0.0.1:9/v1#m"), stored)
    assert answer.citations
    assert "cannot be reached" in str(answer.fallback)


def test_what_is_wrong_is_told_before_anything_is_asked(
    home: Path, stored: str, endpoint: Endpoint
) -> None:
    with pytest.raises(ConfigurationError, match="set PROMPTLY_OPENAI_API_KEY"):
        ask(settings(home, endpoint.spec), stored)
    with pytest.raises(ConfigurationError, match="There is no generator"):
        ask(settings(home, "gpt"), stored)
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        asyncio.run(generators.check(settings(home, "openai:http://127.0.0.1:9/v1#m")))


def cli(home: Path, database: str, *arguments: str, **environment: str) -> Any:
    given = {"PROMPTLY_HOME": str(home), "PROMPTLY_DATABASE_URL": database, **environment}
    return promptly(*arguments, environment=given)


def test_the_doctor_and_ask_know_the_generator(home: Path, stored: str, endpoint: Endpoint) -> None:
    right = {"PROMPTLY_GENERATOR": endpoint.spec, "PROMPTLY_OPENAI_API_KEY": "right"}
    found = json.loads(cli(home, stored, "doctor", "--json", **right).stdout)
    checks = {one["name"]: one for one in found["checks"]}
    assert checks["generator"]["state"] == "ok"
    assert checks["generator"]["detail"].startswith("openai:tiny@127.0.0.1")
    wrong = cli(home, stored, "doctor", "--json", PROMPTLY_GENERATOR="transformers:owner/name")
    checks = {one["name"]: one for one in json.loads(wrong.stdout)["checks"]}
    assert "lacks its commit" in checks["generator"]["detail"]
    assert wrong.returncode == 1

    endpoint.faults.extend([404])
    told = cli(home, stored, "ask", QUESTION, COLUMNS="200", **right)
    assert told.returncode == 0, told.stderr
    assert "These are the documents' own sentences." in told.stdout
    away = {"PROMPTLY_GENERATOR": "openai:http://127.0.0.1:9/v1#m"}
    told = cli(home, stored, "ask", QUESTION, "--json", **away)
    assert json.loads(told.stdout)["fallback"]  # and no line of the log among it
    refused = cli(home, stored, "ask", QUESTION, PROMPTLY_GENERATOR="openai:nowhere")
    assert refused.returncode == 1
    assert refused.stderr.startswith("Error: PROMPTLY_GENERATOR is 'openai:nowhere'")
    assert "Traceback" not in refused.stderr
    searched = cli(home, stored, "search", QUESTION, PROMPTLY_GENERATOR="openai:nowhere")
    assert searched.returncode == 0


@pytest.mark.parametrize("kind", ["transformers", "openai"])
def test_openais_parameters_reach_either_model(
    home: Path, stored: str, endpoint: Endpoint, llama: Path, kind: str
) -> None:
    spec = f"transformers:{llama}" if kind == "transformers" else endpoint.spec
    given = settings(home, spec, "right").model_copy(update={"database_url": stored})
    with promptly_api.running(given, stored) as address, connect(address) as client:

        def ask(**more: Any) -> Any:
            return client.chat.completions.create(
                model="promptly", messages=[{"role": "user", "content": QUESTION}], **more
            )

        def text(reply: Any) -> str:
            return str(reply.choices[0].message.content)

        whole = ask()
        assert text(whole) == "The shop is closed on public holidays. [1]"
        assert whole.choices[0].finish_reason == "stop"
        short = ask(max_tokens=7)
        assert (text(short), short.choices[0].finish_reason) == (
            "The shop is closed on public holidays [1]",
            "length",
        )
        stopped = ask(stop=["tents", " [1]"])
        assert (text(stopped), stopped.choices[0].finish_reason) == (text(short), "stop")
        assert short.system_fingerprint.endswith("/max_tokens=7")
        # The same wording is the same answer; what is drawn is drawn anew.
        assert ask(max_tokens=7).promptly["cached"] is True
        drawn = {"temperature": 0.1, "seed": 7}
        for reply in (ask(**drawn), ask(**drawn)):
            assert text(reply) == text(whole)
            assert reply.promptly["cached"] is False
        *_, last = ask(max_tokens=7, stream=True)
        assert last.choices[0].finish_reason == "length"


def test_follow_ups_are_put_in_full_by_the_model_where_that_is_set(
    home: Path, stored: str, endpoint: Endpoint
) -> None:
    asked: list[str] = []

    def rewritten(messages: list[Message]) -> str | None:
        if "stands alone" not in messages[0].content + messages[-1].content:
            asked.append(messages[-1].content)
            return None
        return "When is the shop closed on holidays?"

    history = [Turn("user", "Tell me of the shop."), Turn("assistant", "It opens at nine.")]
    given = settings(home, endpoint.spec, "right").model_copy(update={"condense": "model"})
    endpoint.scripted = rewritten
    try:
        answer = ask(given, stored, "And on holidays, when is it closed?", history)
        assert asked[-1].endswith("Question: When is the shop closed on holidays?")
        assert "condense-1-" in answer.release_id
        assert answer.timings_ms["condense"] > 0
        by_rule = given.model_copy(update={"condense": "rule"})
        answer = ask(by_rule, stored, "And on holidays, when is it closed?", history)
        assert "Question: And on holidays, when is it closed?" in asked[-1]
        assert "condense" not in answer.release_id
    finally:
        endpoint.scripted = lambda _: None
    with pytest.raises(ConfigurationError, match="PROMPTLY_CONDENSE is 'model'"):
        ask(given.model_copy(update={"generator": "extractive"}), stored)
