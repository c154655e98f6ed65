"""`promptly bias probe` as a user meets it: real documents and answers, killed and gone on with."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bias.swaps import groups_in
from model_pipeline.embedding.onnx_embedder import OnnxEmbedder
from rag_service.generate.transformers_writer import TransformersWriter, Weights
from rag_service.generate.writer import Message
from tests import models
from tests.language_models import make_language_model
from tests.promptly.evaluations import Evaluations, as_json, evaluations
from tests.promptly.test_evaluate_killed import killed_at
from tests.servers import openai_compatible
from tests.servers.openai_compatible import Endpoint

RULES = [
    "A person who works at night gets a free day after five nights.",
    "Whoever forgets a step begins again at the first one.",
    "Visitors may see everything but the archive.",
    "The library opens at nine and closes at six.",
    "Errors are reported to the office on the second floor.",
]
FIRST_PASSAGE = re.compile(r'number="1">\n.*\n(.*)')


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_language_model(tmp_path_factory.mktemp("llama") / "tiny", says="At nine. [1]")


@pytest.fixture(scope="module")
def endpoint(llama: Path) -> Iterator[Endpoint]:
    with openai_compatible.running(Endpoint(TransformersWriter(Weights(str(llama))))) as serving_it:
        yield serving_it


@pytest.fixture
def work(
    module_database: str, embedder: OnnxEmbedder, embedder_cache: Path, tmp_path: Path
) -> Evaluations:
    with models.ingesting(module_database, embedder) as ingest:
        models.put(ingest, "rules", RULES)
    made = evaluations(tmp_path, module_database, embedder_cache)
    made.write("own.jsonl", [{"question": "When does the library open?"}])
    return made


def probe(work: Evaluations, *more: str, code: int = 0, **env: str) -> dict[str, Any]:
    done = work.run("bias", "probe", "-c", "rules", "--no-judge", *more, "--json", **env)
    return as_json(done, code)


def by_name(found: dict[str, Any]) -> dict[tuple[str, str, str], dict[str, Any]]:
    return {(one["axis"], one["group"], one["measure"]): one for one in found["effects"]}


def test_extractive_answers_are_probed_and_the_same_again(work: Evaluations) -> None:
    found = probe(work, "--n", "4", "--questions", "own.jsonl")
    assert found["run"]["release_id"].startswith("extractive")
    assert found["probes"] == 7 * (4 + 1)
    assert found["failures"] == {}
    effects = by_name(found)
    assert effects["religion", "Muslim", "declined"]["n"] == 5
    assert effects["gender", "neutral", "ranking_rbo"]["n"] > 0
    assert effects["age", "old", "ranking_jaccard"]["p"] is None
    folder = Path(found["files"]["json"]).parent
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert b"# Counterfactual probes" in kept["probes.md"]
    assert json.loads(kept["probes.json"])["effects"] == found["effects"]
    assert probe(work, "--n", "4", "--questions", "own.jsonl") == found
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == kept


def test_regard_is_the_local_judges(work: Evaluations) -> None:
    done = work.run("bias", "probe", "-c", "rules", "--n", "2", "--json")
    found = as_json(done)
    assert "regard" in found["signatures"]
    regard = [one for one in found["effects"] if one["measure"] == "regard"]
    assert regard
    assert all(1 <= one["value"] <= 5 for one in regard)


def test_a_model_that_answers_one_group_otherwise_is_caught(
    work: Evaluations, endpoint: Endpoint
) -> None:
    def unfair(messages: list[Message]) -> str:
        asked = messages[-1].content
        first = FIRST_PASSAGE.search(asked)
        fair = first and "female" not in groups_in(asked, "gender")
        return f"{first[1]} [1]" if first and fair else "I do not know."

    endpoint.scripted = unfair
    rows = [{"question": f"When does the library open, {n}?"} for n in range(28)]
    work.write("own.jsonl", rows)
    try:
        found = probe(
            work, "--n", "8", "--questions", "own.jsonl", "--generator", endpoint.spec,
            "--out", str(work.folder / "out"), code=0,
        )  # fmt: skip
    finally:
        endpoint.scripted = lambda _: None
    female = by_name(found)["gender", "female", "declined"]
    assert female["difference"] > 0.3
    assert female["holds"]
    assert {one["axis"] for one in found["effects"] if one["holds"]} == {"gender"}


def test_killed_it_goes_on(work: Evaluations, endpoint: Endpoint) -> None:
    command = ("bias", "probe", "-c", "rules", "--no-judge", "--n", "1", "--json")
    generator = {"PROMPTLY_GENERATOR": endpoint.spec}
    endpoint.scripted = lambda _: "The library opens at nine. [1]"
    try:
        killed_at(15, work, endpoint, *command, pause_s=0.3, **generator)  # rows are synced by then
        (log,) = (work.folder / "home" / "bias").rglob("answers.jsonl")
        known = log.read_bytes()
        whole = known[: known.rfind(b"\n") + 1]
        found = as_json(work.run(*command, **generator))
        asked = len(endpoint.asked)
        assert log.read_bytes().startswith(whole) and whole.count(b"\n") > 1
        assert log.read_bytes().count(b"\n") == found["variants"] + 1  # each once, and the head
        assert as_json(work.run(*command, **generator)) == found
        assert len(endpoint.asked) == asked
    finally:
        endpoint.scripted = lambda _: None


def test_a_model_in_this_process_is_probed(work: Evaluations, llama: Path) -> None:
    found = probe(work, "--n", "1", "--generator", f"transformers:{llama}")
    assert found["run"]["release_id"].startswith("tiny@")
    assert found["failures"] == {}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-c", "nowhere", "--no-judge"], "There is no collection 'nowhere'"),
        (["--questions", "none.jsonl", "--no-judge"], "cannot be read"),
        (["--questions", "unknown", "--no-judge"], "unknown"),
        (["--generator", "nothing", "--no-judge"], "There is no generator 'nothing'"),
        (["--judge", "nobody"], "There is no judge 'nobody'"),
    ],
)
def test_bad_input_is_told(work: Evaluations, arguments: list[str], told: str) -> None:
    done = work.run("bias", "probe", *arguments)
    assert done.returncode == 2, done.stderr
    assert told in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_dead_endpoint_fails_each_answer_by_name(work: Evaluations) -> None:
    """What the documents' own sentences say in its place is not the model's."""
    found = probe(work, "--n", "1", "--generator", "openai:http://127.0.0.1:9/v1#x", code=1)
    assert sum(found["failures"].values()) >= found["variants"] - 7  # nothing found: nobody asked
    assert all("own sentences" in why for why in found["failures"])
