"""`promptly testset make --by model` and `promptly evaluate --perplexity-model`, by real models."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_pipeline.embedding.onnx_embedder import OnnxEmbedder
from rag_service.generate.transformers_writer import TransformersWriter, Weights
from rag_service.generate.writer import Message
from tests import models
from tests.language_models import make_language_model
from tests.promptly.evaluations import Evaluations, as_json, evaluations
from tests.servers import openai_compatible
from tests.servers.openai_compatible import Endpoint

THINGS = "kettle lantern compass stove bottle jacket".split()
PLACE = "of Bern stands on the big lake in year"
TEXTS = [f"The {thing} {PLACE} {n}." for n, thing in enumerate(THINGS)]
# Hardly a token twice, line ends included: so small a model would lose its way.
ASKED = "Which city keeps something for boiling water?"
SAYS = f"Question: {ASKED}\n\n Answer:“{TEXTS[0]}”"


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama") / "tiny"
    return make_language_model(folder, says=SAYS, context_tokens=4096)


@pytest.fixture(scope="module")
def endpoint(llama: Path) -> Iterator[Endpoint]:
    writer = TransformersWriter(Weights(str(llama)), max_new_tokens=60)
    with openai_compatible.running(Endpoint(writer)) as serving_it:
        yield serving_it


@pytest.fixture(scope="module")
def stored(module_database: str, embedder: OnnxEmbedder) -> str:
    with models.ingesting(module_database, embedder) as ingest:
        models.put(ingest, "lake", TEXTS)
    return module_database


@pytest.fixture
def work(stored: str, embedder: object, embedder_cache: Path, tmp_path: Path) -> Evaluations:
    return evaluations(tmp_path, stored, embedder_cache)


def make(name: str) -> tuple[str, ...]:
    return ("testset", "make", name, "--from", "lake", "--n", "5", "--by", "model", "--json")


def asks(messages: list[Message]) -> str | None:
    """A question of the passage it is shown; of the stove one that does not stand."""
    passage = messages[-1].content.splitlines()[1]
    thing = passage.split()[1]
    if thing == "stove":
        return f"Question: Where does the {thing} stand?\nAnswer: On some lake."
    return f"Question: Where does the {thing} of Bern stand?\nAnswer: {passage}"


def test_a_real_models_questions_that_stand_become_a_test_set_and_are_answered(
    work: Evaluations, llama: Path
) -> None:
    generator = f"transformers:{llama}"
    short = {"PROMPTLY_MAX_NEW_TOKENS": "100"}
    made = as_json(work.run(*make("by-llama"), PROMPTLY_GENERATOR=generator, **short))
    manifest = made["manifest"]
    # Whatever passage it is shown, it has this one question, which stands in one of them alone.
    assert manifest["n"] == 1
    (row,) = map(json.loads, Path(made["file"]).read_text().splitlines())
    assert row["question"] == ASKED
    assert (row["references"], row["tags"]) == ([TEXTS[0]], {"question_type": "model"})
    assert manifest["made"]["model"].startswith("tiny@")
    assert manifest["made"]["prompt"].startswith("question-1-")
    card = as_json(work.run("evaluate", "by-llama", "-c", "lake", "--json"))
    assert card["figures"]["recall_10"]["value"] == 1


def test_an_endpoint_words_questions_and_what_does_not_stand_is_dropped(
    work: Evaluations, endpoint: Endpoint
) -> None:
    endpoint.scripted = asks
    endpoint.faults.extend([500, 500, 500])  # one passage is lost, and nothing else
    try:
        made = as_json(work.run(*make("by-endpoint"), PROMPTLY_GENERATOR=endpoint.spec))
    finally:
        endpoint.scripted = lambda _: None
    assert made["manifest"]["n"] == 4
    rows = list(map(json.loads, Path(made["file"]).read_text().splitlines()))
    assert not any("stove" in row["question"] for row in rows)
    assert all(row["references"][0] in TEXTS for row in rows)


@pytest.mark.parametrize(
    ("generator", "code", "said"),
    [
        ("extractive", 1, "--by model needs a language model"),
        ("openai:http://127.0.0.1:9/v1#m", 4, "cannot be reached"),
        ("openai:nowhere", 1, "PROMPTLY_GENERATOR is 'openai:nowhere'"),
        ("nonsense", 1, "Not one question of the model about the documents in 'lake' stands"),
    ],
)
def test_what_makes_no_questions_is_one_sentence(
    work: Evaluations, endpoint: Endpoint, generator: str, code: int, said: str
) -> None:
    nonsense = generator == "nonsense"
    endpoint.scripted = lambda _: "On and on."
    try:
        done = work.run(*make("none"), PROMPTLY_GENERATOR=endpoint.spec if nonsense else generator)
    finally:
        endpoint.scripted = lambda _: None
    assert (done.returncode, done.stdout) == (code, "")
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def brute_force(folder: Path, texts: list[str]) -> tuple[float, float]:
    """Perplexity and bits per byte, each token by a forward pass of its own."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    nats, tokens = 0.0, 0
    for text in texts:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        for at, token in enumerate(ids):
            before = torch.tensor([[tokenizer.eos_token_id, *ids[:at]]])
            with torch.inference_mode():
                logits = model(input_ids=before).logits[0, -1]
            nats -= float(torch.log_softmax(logits.double(), -1)[token])
        tokens += len(ids)
    return math.exp(nats / tokens), nats / math.log(2) / sum(len(one.encode()) for one in texts)


def test_perplexity_by_a_real_model_is_that_of_a_plain_loop(work: Evaluations, llama: Path) -> None:
    answers = ["It stands on the big lake.", "Im großen See, seit 1900."]
    work.write("questions.jsonl", [{"id": str(n), "question": f"Where {n}?", "answer": "Here."}
                                   for n in range(4)])  # fmt: skip
    work.write("answers.jsonl", [{"id": str(n), "answer": one} for n, one in enumerate(answers)]
               + [{"id": "2", "answer": "x" * 200_000}, {"id": "3", "answer": ""}])  # fmt: skip
    command = ("evaluate", "questions.jsonl", "--predictions", "answers.jsonl", "--json")
    card = as_json(work.run(*command, "--perplexity-model", str(llama)), 1)
    perplexity, bits = brute_force(llama, answers)
    assert card["figures"]["perplexity"]["value"] == pytest.approx(perplexity, rel=1e-4)
    assert card["figures"]["bits_per_byte"]["value"] == pytest.approx(bits, rel=1e-4)
    assert card["figures"]["perplexity"]["n"] == 2
    counted = {one["name"]: one["count"] for one in card["failures"]}
    assert counted["longer than 100,000 characters"] == 1
    scorecard = Path(card["files"]["scorecard"])
    before = scorecard.read_bytes()
    assert b"model=tiny@" in before
    as_json(work.run(*command, "--perplexity-model", f"transformers:{llama}"), 1)
    assert scorecard.read_bytes() == before


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("no-such-folder", "--perplexity-model names 'no-such-folder', which"),
        (".", "cannot be loaded"),
    ],
)
def test_what_is_no_model_is_one_sentence_and_2(work: Evaluations, model: str, said: str) -> None:
    work.write("questions.jsonl", [{"id": "a", "question": "Where?", "answer": "Here."}])
    work.write("answers.jsonl", [{"id": "a", "answer": "There."}])
    given = str(work.folder) if model == "." else model
    done = work.run(
        "evaluate", "questions.jsonl", "--predictions", "answers.jsonl", "--perplexity-model", given
    )
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
