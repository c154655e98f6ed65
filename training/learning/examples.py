"""Training data as it stands in its folder, and as the tokens that a model learns from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_pipeline.chat import Turns, accepted, prompt_text
from model_pipeline.errors import InvalidInput
from training import manifest

TRAIN, VALIDATION = "train.jsonl", "validation.jsonl"
UNLEARNT = -100  # the label of a token that no loss is taken of


@dataclass(frozen=True, slots=True)
class Example:
    """What was asked, in turns, and the right answer."""

    example_id: str
    prompt: tuple[dict[str, str], ...]
    completion: str


@dataclass(frozen=True, slots=True)
class Data:
    train: list[Example]
    validation: list[Example]
    hash: str


@dataclass(frozen=True, slots=True)
class Encoded:
    """`ids` [tokens] of prompt and completion, of which the first `prompt` are the prompt's."""

    ids: list[int]
    prompt: int

    def to_row(self) -> dict[str, list[int]]:
        """As TRL takes what is tokenized already: the loss is of the completion alone."""
        labels = [UNLEARNT] * self.prompt + self.ids[self.prompt :]
        return {"input_ids": self.ids, "labels": labels}


def read(folder: Path) -> Data:
    """Raises InvalidInput where the files are not those of the manifest, or not what they are to
    be."""
    about = manifest.read(folder)
    if faults := manifest.verify(folder, alone=False):
        raise InvalidInput(f"The training data in {folder} is not whole: {faults[0]}")
    if not isinstance(about.get("hash"), str):
        raise InvalidInput(f"{folder / manifest.NAME} has no hash: it is not of training data.")
    train = _rows(folder / TRAIN)
    if not train:
        raise InvalidInput(f"{folder / TRAIN} has no examples.")
    validation = _rows(folder / VALIDATION) if (folder / VALIDATION).is_file() else []
    return Data(train, validation, about["hash"])


def encode(
    examples: Sequence[Example], tokenizer: Any, *, max_tokens: int
) -> tuple[list[Example], list[Encoded]]:
    """Those of at most `max_tokens`, each as it stands in a prompt and as tokens."""
    kept: list[Example] = []
    found: list[Encoded] = []
    for one in examples:
        encoded = _encoded(one, tokenizer)
        if len(encoded.ids) <= max_tokens:
            kept.append(one)
            found.append(encoded)
    return kept, found


def _encoded(example: Example, tokenizer: Any) -> Encoded:
    """Prompt and completion are tokenized apart, as a service does: it has no completion yet."""
    prompt = prompt_text(tokenizer, example.prompt)
    completion = completion_text(tokenizer, example.prompt, example.completion, prompt)
    parts = [
        tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        for text in (prompt, completion)
    ]
    return Encoded(parts[0] + parts[1], len(parts[0]))


def completion_text(tokenizer: Any, turns: Turns, answer: str, prompt: str) -> str:
    """What the template puts after `prompt` for `answer`, up to the token that ends a turn, which
    is to be learnt too: a model that never saw it does not stop."""
    end = str(tokenizer.eos_token)
    if tokenizer.chat_template is None:
        return f" {answer}{end}"
    whole = tokenizer.apply_chat_template(
        [*accepted(turns, tokenizer), {"role": "assistant", "content": answer}],
        tokenize=False,
        enable_thinking=False,
    )
    # Some templates say an old answer otherwise than a new one.
    said = whole.removeprefix(prompt) if whole.startswith(prompt) else answer
    at = said.find(end, len(answer))
    return said[:at] + end if at >= 0 else said.rstrip() + end


def _rows(path: Path) -> list[Example]:
    found: list[Example] = []
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    found.append(_example(line, f"{path} line {number}"))
    except FileNotFoundError as error:
        raise InvalidInput(f"There is no {path}.") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8.") from error
    return found


def _example(line: str, where: str) -> Example:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{where} is not JSON.") from error
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        raise InvalidInput(f"{where} is no example with an id.")
    prompt, completion = _turns(row.get("prompt")), _turns(row.get("completion"))
    if not prompt or prompt[-1]["role"] != "user":
        raise InvalidInput(f"{where} needs a prompt of turns, the last of them the user's.")
    if len(completion) != 1 or completion[0]["role"] != "assistant":
        raise InvalidInput(f"{where} needs a completion of one turn, the assistant's.")
    if not completion[0]["content"].strip():
        raise InvalidInput(f"{where} has an empty completion.")
    return Example(row["id"], prompt, completion[0]["content"])


def _turns(given: Any) -> tuple[dict[str, str], ...]:
    """None where they are not turns."""
    if not isinstance(given, list):
        return ()
    for one in given:
        if not isinstance(one, dict) or not all(
            isinstance(one.get(key), str) for key in ("role", "content")
        ):
            return ()
    return tuple({"role": one["role"], "content": one["content"]} for one in given)
