"""`promptly bias benchmark` through the command, on every kind of generator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rag_service.generate.transformers_writer import TransformersWriter, Weights
from rag_service.generate.writer import Message
from tests.language_models import make_language_model
from tests.promptly.evaluations import Evaluations, as_json, evaluations
from tests.promptly.test_evaluate_killed import killed_at
from tests.servers import openai_compatible
from tests.servers.openai_compatible import Endpoint

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_language_model(tmp_path_factory.mktemp("llama") / "tiny", says="C")


@pytest.fixture(scope="module")
def endpoint(llama: Path) -> Iterator[Endpoint]:
    with openai_compatible.running(Endpoint(TransformersWriter(Weights(str(llama))))) as serving_it:
        yield serving_it


@pytest.fixture
def work(
    module_database: str, embedder: object, embedder_cache: Path, tmp_path: Path
) -> Evaluations:
    return evaluations(tmp_path, module_database, embedder_cache)


def measured(
    work: Evaluations, shared_data: Path, name: str, *more: str, code: int = 0
) -> dict[str, Any]:
    data = shared_data / ("bbq" if name == "bbq" else "fair_llm_benchmark")
    done = work.run("bias", "benchmark", name, "--data", str(data), *more, "--json")
    return as_json(done, code)


def values(found: dict[str, Any]) -> dict[tuple[str, str], float | None]:
    return {(one["name"], one["of"]): one["value"] for one in found["figures"]}


def unknown(messages: list[Message]) -> str:
    """The letter of the choice that leaves it open, as BBQ words it."""
    for line in messages[-1].content.splitlines():
        letter, _, choice = line.partition(". ")
        if letter in ("A", "B", "C") and any(
            one in choice.lower() for one in ("unknown", "not ", "cannot", "can't", "undetermined")
        ):
            return letter
    return "?"


def test_bbq_at_an_endpoint_that_always_leaves_it_open(
    work: Evaluations, shared_data: Path, endpoint: Endpoint
) -> None:
    endpoint.scripted = unknown
    try:
        found = measured(work, shared_data, "bbq", "--n", "48", "--generator", endpoint.spec)
    finally:
        endpoint.scripted = lambda _: None
    assert (found["n"], found["failures"]) == (48, {})
    assert found["method"] == "the text that it writes"
    assert values(found)["accuracy, ambiguous", "all"] == 1
    assert values(found)["s_AMB", "all"] == 0
    assert values(found)["s_DIS", "all"] is None
    folder = Path(found["files"]["json"]).parent
    assert json.loads((folder / "result.json").read_bytes())["figures"] == found["figures"]
    assert (folder / "result.md").read_text().startswith("# BBQ\n")


@pytest.mark.parametrize("name", ["bbq", "winobias", "winogender"])
def test_every_choice_on_every_generator(
    work: Evaluations, shared_data: Path, llama: Path, endpoint: Endpoint, name: str
) -> None:
    specs = {
        "extractive": "answers from the context as the only passage",
        f"transformers:{llama}": "the likelihood of the letters",
        endpoint.spec: "the text that it writes",
    }
    for spec, method in specs.items():
        found = measured(work, shared_data, name, "--n", "24", "--generator", spec)
        assert (found["n"], found["method"]) == (24, method)
        assert sum(found["failures"].values()) <= 24
    if name == "bbq":  # the model says C to everything, by its text
        assert found["failures"] == {}


def test_honest_needs_a_model_and_something_that_is_hurtful(
    work: Evaluations, shared_data: Path, llama: Path
) -> None:
    work.folder.joinpath("words.txt").write_text("c\n")
    found = measured(
        work, shared_data, "honest", "--n", "20", "--lexicon", "words.txt",
        "--generator", f"transformers:{llama}",
    )  # fmt: skip
    assert (found["benchmark"], values(found)["honest", "all"]) == ("HONEST", 1.0)
    data = str(shared_data / "fair_llm_benchmark")
    done = work.run("bias", "benchmark", "honest", "--data", data, "--lexicon", "words.txt")
    assert done.returncode == 2
    assert "writes nothing of its own" in " ".join(done.stderr.split())


def test_killed_it_goes_on(work: Evaluations, shared_data: Path, endpoint: Endpoint) -> None:
    data = str(shared_data / "fair_llm_benchmark")
    command = ("bias", "benchmark", "winogender", "--data", data, "--n", "60", "--json",
               "--generator", endpoint.spec)  # fmt: skip
    endpoint.scripted = lambda _: "A"
    try:
        killed_at(30, work, endpoint, *command, pause_s=0.1)
        endpoint.asked.clear()
        found = as_json(work.run(*command))
        asked = len(endpoint.asked)
        assert found["n"] == 60
        assert 30 <= asked < 60
        assert as_json(work.run(*command)) == found
        assert len(endpoint.asked) == asked
    finally:
        endpoint.scripted = lambda _: None
    assert values(found)["consistency", "all three pronouns"] == 1


def test_a_dead_endpoint_fails_each_item_by_name(work: Evaluations, shared_data: Path) -> None:
    found = measured(
        work, shared_data, "winobias", "--n", "4", "--generator", "openai:http://127.0.0.1:9/v1#x",
        code=1,
    )  # fmt: skip
    (why,) = found["failures"]
    assert found["failures"][why] == 4
    assert "does not answer" in why


def test_the_search_is_measured_in_a_store_of_its_own(work: Evaluations, shared_data: Path) -> None:
    found = measured(work, shared_data, "grep-biasir")
    figures = {(one["name"], one["of"]): one for one in found["figures"]}
    for mode in ("hybrid", "dense", "lexical"):
        assert figures["preference", f"{mode}, all"]["n"] == 232
        assert -1 <= figures["ARaB@10", f"{mode}, all"]["value"] <= 1
    assert found["n"] == 702
    again = {
        (x["name"], x["of"]): x["value"]
        for x in measured(work, shared_data, "grep-biasir")["figures"]
    }
    lexical = [key for key in figures if key[1].startswith("lexical")]
    assert all(again[key] == pytest.approx(figures[key]["value"], abs=1e-9) for key in lexical)
    assert again["preference", "hybrid, all"] == pytest.approx(
        figures["preference", "hybrid, all"]["value"], abs=0.1
    )


@pytest.mark.parametrize("name", ["bbq", "winobias", "winogender", "honest", "grep-biasir"])
def test_a_folder_without_the_data_is_told(work: Evaluations, name: str) -> None:
    for folder in (str(work.folder), "/nowhere"):
        done = work.run("bias", "benchmark", name, "--data", folder, "--lexicon", __file__)
        assert done.returncode == 2, done.stderr
        assert "give --data the" in " ".join(done.stderr.split())
        assert "Traceback" not in done.stderr
