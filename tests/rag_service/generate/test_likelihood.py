"""Likelihoods of continuations, against the model's own probabilities token by token."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_pipeline.errors import InvalidInput
from rag_service.generate.likelihood import Likelihoods
from rag_service.generate.transformers_writer import Weights
from tests.language_models import make_language_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("llama") / "tiny"
    return make_language_model(made, says="B", context_tokens=128)


def test_what_it_was_taught_is_likeliest(folder: Path) -> None:
    found = Likelihoods(Weights(str(folder)), None, None).log_likelihoods("Which?", ["A", "B", "C"])
    assert max(found) == found[1] > -0.5
    assert all(one < found[1] - 2 for one in (found[0], found[2]))


def test_it_is_the_sum_over_tokens(folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Which?"}], tokenize=False, add_generation_prompt=True
    )
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    expected = 0.0
    for token in tokenizer("zebra", add_special_tokens=False)["input_ids"]:
        with torch.inference_mode():
            chances = model(torch.tensor([ids])).logits[0, -1].softmax(-1)
        expected += float(chances[token].log())
        ids.append(token)
    (found,) = Likelihoods(Weights(str(folder)), None, None).log_likelihoods("Which?", ["zebra"])
    assert found == pytest.approx(expected, rel=1e-4)


def test_a_prompt_that_does_not_fit_is_refused(folder: Path) -> None:
    with pytest.raises(InvalidInput, match="the model reads 128"):
        Likelihoods(Weights(str(folder)), None, None).log_likelihoods("word " * 200, ["A"])
