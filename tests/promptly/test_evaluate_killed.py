"""`promptly evaluate` killed while it asks the release or the judge: the same command goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_pipeline.embedding.onnx_embedder import OnnxEmbedder
from rag_service.generate.transformers_writer import TransformersWriter, Weights
from rag_service.generate.writer import Message
from tests import models
from tests.language_models import make_language_model
from tests.promptly.commands import started
from tests.promptly.evaluations import Evaluations, as_json, evaluations
from tests.servers import openai_compatible
from tests.servers.openai_compatible import Endpoint

N = 12
PLACES = [f"The archive of town {n} is behind the old mill." for n in range(N)]
QUESTIONS = [
    {"id": str(n), "question": f"Where is the archive of town {n}?", "answer": place}
    for n, place in enumerate(PLACES)
]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    llama = make_language_model(tmp_path_factory.mktemp("llama") / "tiny", says="4")
    with openai_compatible.running(Endpoint(TransformersWriter(Weights(str(llama))))) as serving_it:
        yield serving_it


@pytest.fixture
def work(
    module_database: str, embedder: OnnxEmbedder, embedder_cache: Path, tmp_path: Path
) -> Evaluations:
    with models.ingesting(module_database, embedder) as ingest:
        models.put(ingest, "towns", PLACES)
    made = evaluations(tmp_path, module_database, embedder_cache)
    made.write("questions.jsonl", QUESTIONS)
    return made


def killed_at(
    number: int,
    work: Evaluations,
    endpoint: Endpoint,
    *arguments: str,
    pause_s: float,
    **environment: str,
) -> None:
    """Run as a process of its own, which is killed as it asks for the `number`th time; replies take
    `pause_s` until then."""
    reached = threading.Event()
    reply = endpoint.scripted

    def counting(messages: list[Message]) -> str | None:
        if len(endpoint.asked) >= number:
            reached.set()
        time.sleep(pause_s)  # in the server, which serves nobody else
        return reply(messages)

    endpoint.asked.clear()
    endpoint.scripted = counting
    process = started(*arguments, environment=work.environment(**environment))
    try:
        assert reached.wait(120), process.exitcode
    finally:
        process.kill()
        process.join()
        endpoint.scripted = reply


def test_answers_before_a_kill_are_kept(work: Evaluations, endpoint: Endpoint) -> None:
    command = ("evaluate", str(work.folder / "questions.jsonl"), "-c", "towns", "--json")
    generator = {"PROMPTLY_GENERATOR": endpoint.spec}
    endpoint.scripted = lambda _: "The archive is behind the old mill. [1]"
    try:
        killed_at(8, work, endpoint, *command, pause_s=0.4, **generator)
        (log,) = (work.folder / "home" / "evaluations").rglob("predictions.jsonl")
        known = log.read_bytes()
        whole = known[: known.rfind(b"\n") + 1]
        done = whole.count(b"\n") - 1  # the first line tells whose they are
        assert 2 <= done < 8
        endpoint.asked.clear()
        card = as_json(work.run(*command, **generator))
        assert len(endpoint.asked) == N - done
        assert log.read_bytes().startswith(whole)
        assert (card["n"], card["failed"]) == (N, 0)
        # Nothing is asked again, and all is the same to the byte.
        before = Path(card["files"]["scorecard"]).read_bytes()
        assert as_json(work.run(*command, **generator)) == card
        assert len(endpoint.asked) == N - done
        assert Path(card["files"]["scorecard"]).read_bytes() == before
    finally:
        endpoint.scripted = lambda _: None


def test_grades_before_a_kill_are_kept(work: Evaluations, endpoint: Endpoint) -> None:
    answers = [{"id": one["id"], "answer": f"{one['answer']} So it is."} for one in QUESTIONS]
    work.write("answers.jsonl", answers)
    files = [str(work.folder / name) for name in ("questions.jsonl", "answers.jsonl")]
    command = ("evaluate", files[0], "--predictions", files[1], "--json")
    judge = {"PROMPTLY_JUDGE": endpoint.spec}
    endpoint.scripted = lambda _: "4"
    try:
        killed_at(16, work, endpoint, *command, pause_s=0.05, **judge)
        before = {str(one["messages"]) for one in endpoint.asked}
        endpoint.asked.clear()
        card = as_json(work.run(*command, **judge))
    finally:
        endpoint.scripted = lambda _: None
    after = {str(one["messages"]) for one in endpoint.asked}
    assert len(before | after) == 2 * N  # relevance and coverage: there are no passages
    assert len(before & after) <= 8  # what was under way
    assert len(after) < 2 * N - 6
    assert card["figures"]["judged_coverage"] | {"low": None, "high": None} == {
        "value": 0.75, "low": None, "high": None, "n": N,
    }  # fmt: skip
