from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from model_pipeline.chat import prompt_text
from model_pipeline.errors import InvalidInput
from rag_service.generate.transformers_writer import TransformersWriter, Weights
from rag_service.generate.writer import Message
from tests.training.learning.material import write_data
from training import manifest
from training.learning.examples import UNLEARNT, encode, read

GEMMA = (  # knows no system turn, and ends turns by a token that is not the tokenizer's own end
    "{% for m in messages %}"
    "{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "<start>{{ m.role }}\n{{ m.content }}<turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start>assistant\n{% endif %}"
)
THINKING = (  # says old answers without their thoughts, and begins new ones with none
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]<think></think>{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer(tiny_base: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_base)


def learnt(tokenizer: Any, row: dict[str, list[int]]) -> tuple[str, str]:
    """What the loss is not of, and what it is of."""
    ids, labels = row["input_ids"], row["labels"]
    split = next(at for at, label in enumerate(labels) if label != UNLEARNT)
    assert labels[split:] == ids[split:]
    return tokenizer.decode(ids[:split]), tokenizer.decode(ids[split:])


def test_the_loss_is_of_the_answer_and_its_end_alone(tokenizer: Any, tiny_data: Path) -> None:
    data = read(tiny_data)
    kept, encoded = encode(data.train, tokenizer, max_tokens=512)
    assert kept == data.train
    prompt, completion = learnt(tokenizer, encoded[0].to_row())
    assert prompt.endswith("When does the bakery open?<|im_end|>\n<|im_start|>assistant\n")
    assert completion == "It opens at 6 [1].<|im_end|>"


def test_the_prompt_is_what_the_service_shows_the_model_token_by_token(
    tokenizer: Any, tiny_base: Path, tiny_data: Path
) -> None:
    example = read(tiny_data).train[0]
    writer = TransformersWriter(Weights(str(tiny_base)), max_new_tokens=4)
    shown = writer._prompt([Message(one["role"], one["content"]) for one in example.prompt])
    asyncio.run(writer.close())
    ids = tokenizer([shown], add_special_tokens=False)["input_ids"][0]
    [encoded] = encode([example], tokenizer, max_tokens=512)[1]
    assert encoded.ids[: encoded.prompt] == ids


@pytest.mark.parametrize(
    ("template", "prompt", "completion"),
    [
        (
            GEMMA,
            "<start>user\nAnswer from the passages.\n\n[1] The bakery",
            "6 [1].<turn><|im_end|>",
        ),
        (THINKING, "[system]Answer from the passages.<|im_end|>", "It opens at 6 [1].<|im_end|>"),
        (None, "Answer from the passages.\n\n[1] The bakery", " It opens at 6 [1].<|im_end|>"),
    ],
)
def test_templates_differ_and_each_answer_has_its_end(
    template: str | None, prompt: str, completion: str, tiny_base: Path, tiny_data: Path
) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(tiny_base)
    tokenizer.chat_template = template
    [encoded] = encode(read(tiny_data).train[:1], tokenizer, max_tokens=512)[1]
    before, after = learnt(tokenizer, encoded.to_row())
    assert before.startswith(prompt)
    assert before == prompt_text(tokenizer, read(tiny_data).train[0].prompt)
    assert after.endswith(completion) and after.count("<|im_end|>") == 1


def test_what_is_too_long_is_left_out(tokenizer: Any, tiny_data: Path) -> None:
    data = read(tiny_data)
    whole = encode(data.train, tokenizer, max_tokens=512)[1]
    most = sorted(len(one.ids) for one in whole)[10]
    kept, encoded = encode(data.train, tokenizer, max_tokens=most)
    assert 0 < len(kept) == len(encoded) < len(data.train)
    assert max(len(one.ids) for one in encoded) == most


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2 is not JSON."),
        ("[]", "line 2 is no example with an id."),
        ('{"id": "a", "prompt": "b"}', "line 2 needs a prompt of turns, the last of them"),
        (
            '{"id": "a", "prompt": [{"role": "assistant", "content": "b"}]}',
            "line 2 needs a prompt of turns, the last of them",
        ),
        (
            '{"id": "a", "prompt": [{"role": "user", "content": 1}]}',
            "line 2 needs a prompt of turns",
        ),
        (
            '{"id": "a", "prompt": [{"role": "user", "content": "b"}], "completion": []}',
            "line 2 needs a completion of one turn, the assistant's.",
        ),
        (
            '{"id": "a", "prompt": [{"role": "user", "content": "b"}],'
            ' "completion": [{"role": "assistant", "content": " "}]}',
            "line 2 has an empty completion.",
        ),
    ],
)
def test_a_wrong_row_is_told_by_its_line(line: str, said: str, tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", train=1)
    path = data / "train.jsonl"
    path.write_text(path.read_text() + line + "\n")
    (data / "manifest.json").unlink()
    manifest.write(data, {"hash": "x"})
    with pytest.raises(InvalidInput, match=said):
        read(data)


def test_data_that_changed_since_it_was_made_is_refused(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    (data / "config.json").write_text("{}")  # others may lie beside it
    assert len(read(data).train) == 22
    path = data / "train.jsonl"
    path.write_text(path.read_text().replace("bakery", "butchr"))
    with pytest.raises(InvalidInput, match=r"is not whole: train\.jsonl is not what was written"):
        read(data)
    path.unlink()
    with pytest.raises(InvalidInput, match=r"is not whole: train\.jsonl is missing"):
        read(data)


def test_no_examples_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"train\.jsonl has no examples"):
        read(write_data(tmp_path / "data", train=0))
    with pytest.raises(InvalidInput, match=r"has no manifest\.json"):
        read(tmp_path)


def test_the_data_is_what_trl_itself_would_make_of_the_rows(
    tokenizer: Any, tiny_data: Path
) -> None:
    """By TRL's own way with a conversation of prompt and completion."""
    from trl import apply_chat_template

    rows = [json.loads(line) for line in (tiny_data / "train.jsonl").read_text().splitlines()]
    found = encode(read(tiny_data).train, tokenizer, max_tokens=512)[1]
    for row, encoded in zip(rows, found, strict=True):
        given = {"prompt": row["prompt"], "completion": row["completion"]}
        theirs = apply_chat_template(given, tokenizer)
        prompt, completion = learnt(tokenizer, encoded.to_row())
        assert prompt == theirs["prompt"]
        assert completion == theirs["completion"].removesuffix("\n")
