"""Perplexity against a loop that foresees one token at a time, on a small random Llama."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from tokenizers.processors import TemplateProcessing

from model_pipeline.errors import InvalidInput
from model_pipeline.evaluation import perplexity as module
from model_pipeline.evaluation.bootstrap import interval
from model_pipeline.evaluation.examples import Example, Pair, Prediction
from model_pipeline.evaluation.measured import Measured
from model_pipeline.evaluation.perplexity import Window, batches, perplexity
from tests.language_models import END, START, random_language_model

WORDS = (
    "the default value is evaluated once when its function is defined, naïve or 日本語 🙂".split()
)
CONTEXT = 32
STRIDE = 16


@pytest.fixture(scope="module")
def llama() -> tuple[Any, Any]:
    return random_language_model(" ".join(WORDS), context_tokens=CONTEXT)


def text(words: int, seed: int) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


# Shorter than the window, as long as it, and several times as long; not in order of length.
TEXTS = [text(words, seed) for seed, words in enumerate((3, 90, 1, 24, 12, 200, 40))]


def pairs(texts: Sequence[str]) -> list[Pair]:
    return [Pair(Example(str(n), "?"), Prediction(str(n), one)) for n, one in enumerate(texts)]


def measure(
    llama: tuple[Any, Any], texts: Sequence[str], **options: Any
) -> tuple[Measured, Measured]:
    tokenizer, model = llama
    first, second = perplexity(
        pairs(texts), model=model, tokenizer=tokenizer, name="llama@0", **options
    )
    return first, second


def brute_force(llama: tuple[Any, Any], text: str, window: int = CONTEXT) -> tuple[float, int]:
    """Nats and tokens of a text, one call of the model for each token."""
    import torch

    tokenizer, model = llama
    ids = [tokenizer.eos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]
    stride = window // 2
    nats = 0.0
    for place in range(1, len(ids)):
        first = stride * math.ceil(max(0, place - window + 1) / stride)
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids[first:place]])).logits[0, -1]
        nats -= float(torch.log_softmax(logits.double(), -1)[ids[place]])
    return nats, len(ids) - 1


def test_equal_to_a_loop_token_by_token(llama: tuple[Any, Any]) -> None:
    found, per_byte = measure(llama, TEXTS)
    expected = [brute_force(llama, one) for one in TEXTS]
    assert max(tokens for _, tokens in expected) > 5 * CONTEXT > CONTEXT > expected[2][1]
    for index, (nats, tokens) in enumerate(expected):
        assert found.statistics[index] == pytest.approx([nats, tokens], rel=1e-4)
        assert found.each()[index] == pytest.approx(math.exp(nats / tokens), rel=1e-4)
        size = len(TEXTS[index].encode())
        assert per_byte.each()[index] == pytest.approx(nats / math.log(2) / size, rel=1e-4)
    nats, tokens = (sum(column) for column in zip(*expected, strict=True))
    assert found.figure() == pytest.approx(math.exp(nats / tokens), rel=1e-4)


@pytest.mark.parametrize("window", [2, 3, 17, 31])
def test_every_token_is_scored_once_whatever_the_window(
    llama: tuple[Any, Any], window: int
) -> None:
    found, _ = measure(llama, TEXTS[:3], window=window)
    expected = [brute_force(llama, one, window) for one in TEXTS[:3]]
    assert found.statistics == pytest.approx(np.array(expected), rel=1e-4)


def test_batches_and_padding_change_nothing(llama: tuple[Any, Any]) -> None:
    alone, _ = measure(llama, TEXTS, batch=1)
    together, _ = measure(llama, TEXTS, batch=8)
    assert together.statistics == pytest.approx(alone.statistics, rel=1e-6)
    assert measure(llama, TEXTS, batch=8)[0].statistics.tolist() == together.statistics.tolist()


def test_a_batch_is_of_like_length_and_fits_into_memory() -> None:
    windows = [Window(n, (0,) * length, 1) for n, length in enumerate((5, 1000, 2, 900, 4))]
    lengths = [[len(one.ids) for one in few] for few in batches(windows, 3, 1000)]
    assert lengths == [[1000, 900, 5], [4, 2]]
    tight = module.MAX_LOGITS // 1000
    assert [len(few) for few in batches(windows, 3, tight)] == [1, 1, 3]


def test_progress_ends_with_all(llama: tuple[Any, Any]) -> None:
    told: list[tuple[int, int]] = []
    measure(llama, TEXTS, progress=lambda done, of: told.append((done, of)))
    assert told == sorted(told) and told[-1][0] == told[-1][1] > len(TEXTS)


def test_texts_weigh_by_their_tokens(llama: tuple[Any, Any]) -> None:
    found, _ = measure(llama, [TEXTS[5], TEXTS[2]])
    long, short = found.each()
    weight = found.statistics[0, 1] / found.statistics[:, 1].sum()
    pooled = math.exp(weight * math.log(long) + (1 - weight) * math.log(short))
    assert found.figure() == pytest.approx(pooled)
    assert found.figure() != pytest.approx((long + short) / 2, rel=1e-3)
    bounds = interval(found, seed=0)
    assert bounds.low == pytest.approx(min(long, short)) and bounds.high == pytest.approx(
        max(long, short)
    )


def test_one_start_token_also_where_the_tokenizer_adds_its_own() -> None:
    plain, model = random_language_model(" ".join(WORDS))
    adding, _ = random_language_model(" ".join(WORDS))
    for tokenizer in (plain, adding):
        tokenizer.bos_token = START
    adding.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{START} $A", special_tokens=[(START, adding.bos_token_id)]
    )
    assert adding("the")["input_ids"][0] == adding.bos_token_id
    found = [measure((one, model), TEXTS[:2])[0] for one in (plain, adding)]
    assert found[0].statistics.tolist() == found[1].statistics.tolist()
    assert "start=bos" in found[0].signature


def test_names_of_special_tokens_are_text(llama: tuple[Any, Any]) -> None:
    found, _ = measure(llama, [f"the{END}", "the"])
    assert found.statistics[0, 1] > found.statistics[1, 1] + 1


def test_bits_per_byte_is_of_bytes(llama: tuple[Any, Any]) -> None:
    perplexed, found = measure(llama, ["日本語"])
    assert found.statistics[0].tolist() == [perplexed.statistics[0, 0], 9]


def test_a_model_of_equal_chances_has_its_vocabulary_as_perplexity() -> None:
    import torch

    tokenizer, model = random_language_model(" ".join(WORDS))
    with torch.no_grad():
        model.lm_head.weight.zero_()
    found, _ = measure((tokenizer, model), TEXTS)
    assert found.figure() == pytest.approx(len(tokenizer), rel=1e-5)


def test_what_cannot_be_scored_is_named_and_declined_answers_are_left_out(
    llama: tuple[Any, Any],
) -> None:
    tokenizer, model = llama
    given = [
        *pairs(["the value", "", "x" * (module.MAX_CHARACTERS + 1), "\ud800"]),
        Pair(Example("e", "?"), Prediction("e", "This is not in the documents.", declined=True)),
    ]
    for found in perplexity(given, model=model, tokenizer=tokenizer, name="llama@0"):
        assert found.scored.tolist() == [True, False, False, False, False]
        assert found.failures == {1: module.EMPTY, 2: module.TOO_LONG, 3: module.NO_TEXT}
        assert math.isfinite(found.figure())


def test_a_tokenizer_that_does_not_know_the_characters_is_a_failure() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"[UNK]": 0, "the": 1, "[END]": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="[UNK]", eos_token="[END]"
    )
    _, model = random_language_model(" ".join(WORDS))
    found, _ = measure((tokenizer, model), ["the the", "the 日本語"])
    assert found.failures == {1: module.UNKNOWN}


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_a_failure_of_that_text_alone(wrong: float) -> None:
    import torch

    tokenizer, model = random_language_model(" ".join(WORDS))
    once = tokenizer("once", add_special_tokens=False)["input_ids"][0]
    with torch.no_grad():
        model.model.embed_tokens.weight[once] = wrong
    found, per_byte = measure((tokenizer, model), ["the value", "once the value"])
    for one in (found, per_byte):
        assert one.failures == {1: module.NOT_FINITE}
        assert math.isfinite(one.figure()) and math.isnan(one.each()[1])


def test_a_model_without_a_token_to_start_with_is_refused() -> None:
    tokenizer, model = random_language_model("the")
    tokenizer.eos_token = None
    with pytest.raises(InvalidInput, match="neither a start nor an end token"):
        measure((tokenizer, model), ["the"])


def test_nothing_to_score_is_no_figure(llama: tuple[Any, Any]) -> None:
    found, _ = measure(llama, [""])
    assert math.isnan(found.figure())
