"""Answers that begin as they are told to: the chances are the model's own, and what follows is what
it would have said."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator

import pytest

from model_pipeline.errors import ModelUnavailable
from rag_service.generate.transformers_teller import TransformersTeller
from rag_service.generate.transformers_writer import Weights
from rag_service.generate.writer import Message
from tests.language_models import make_language_model

SAYS = 'It is "2", of "5" at most.'
ASKED = [Message("user", "How many?")]
CHOICES = list("12345")


@pytest.fixture(scope="module")
def teller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TransformersTeller]:
    folder = make_language_model(tmp_path_factory.mktemp("models") / "telling", says=SAYS)
    made = TransformersTeller(Weights(str(folder)), max_new_tokens=60)
    yield made
    asyncio.run(made.close())


def chances_by_hand(teller: TransformersTeller, beginning: str) -> list[float]:
    """Of the whole text with each choice behind it, read anew."""
    import torch

    prompt = f"<|im_start|>user\nHow many?<|im_end|>\n<|im_start|>assistant\n{beginning}"
    found = []
    for choice in CHOICES:
        ids = teller._tokenizer(prompt + choice, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            chances = teller._model(input_ids=ids).logits[0, -2].log_softmax(-1)
        found.append(float(chances[ids[0, -1]]))
    return found


def test_goes_on_as_it_would_have(teller: TransformersTeller) -> None:
    told = asyncio.run(teller.tell(ASKED, 'It is "', CHOICES))
    assert told.text == SAYS == "".join(text for text, _ in told.tokens)
    assert [text for text, _ in told.tokens[:2]] == ['It is "', "2"]


def test_the_chances_are_the_models(teller: TransformersTeller) -> None:
    for beginning in ('It is "', "Nobody knows "):
        told = asyncio.run(teller.tell(ASKED, beginning, CHOICES))
        likely = told.tokens[1][1]
        assert list(likely) == CHOICES
        assert list(likely.values()) == pytest.approx(chances_by_hand(teller, beginning), abs=1e-4)
        assert told.tokens[1][0] == max(CHOICES, key=lambda one: likely[one])
    # Behind what it never wrote it means no digit.
    assert math.fsum(math.exp(one) for one in likely.values()) < 0.5


def test_a_model_that_fails_is_said_to(teller: TransformersTeller) -> None:
    with pytest.raises(ModelUnavailable, match="failed"):
        asyncio.run(teller.tell(ASKED, 'It is "', []))
