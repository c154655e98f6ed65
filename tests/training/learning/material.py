"""Training data and a model that are small enough to be learnt in seconds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from training import manifest
from training.config import FinetuneConfig
from training.data.files import KIND

SHOPS = "bakery library museum pool bank market school cinema garden station harbour clinic".split()
SYSTEM = "Answer from the passages."


def rows(count: int, *, first: int = 0) -> list[dict[str, Any]]:
    """Of different lengths, as `promptly train data` writes them."""
    found = []
    for number in range(first, first + count):
        shop, hour = SHOPS[number % len(SHOPS)], 6 + number % 7
        more = " It is closed on public holidays." * (number % 4)
        passage = f"The {shop} opens at {hour}.{more}"
        found.append(
            {
                "id": f"q{number}",
                "prompt": [
                    {"role": "system", "content": SYSTEM},
                    {"role": "user", "content": f"[1] {passage}\nWhen does the {shop} open?"},
                ],
                "completion": [{"role": "assistant", "content": f"It opens at {hour} [1]."}],
                "source": "corpus",
                "documents": [f"{shop}.md"],
            }
        )
    return found


def write_data(
    folder: Path, *, train: int = 22, validation: int = 6, validation_says: str | None = None
) -> Path:
    folder.mkdir(parents=True)
    digest = hashlib.sha256()
    held = rows(validation, first=train)
    for one in held if validation_says else []:
        one["completion"][0]["content"] = validation_says
    for name, made in (("train.jsonl", rows(train)), ("validation.jsonl", held)):
        text = "".join(json.dumps(one) + "\n" for one in made)
        digest.update(text.encode())
        (folder / name).write_text(text, "utf-8")
    manifest.write(folder, {"kind": KIND, "hash": digest.hexdigest()})
    return folder


def text() -> str:
    """All that is said in the data, for a tokenizer."""
    return " ".join(
        turn["content"] for one in rows(24) for turn in [*one["prompt"], *one["completion"]]
    )


CONFIG = FinetuneConfig(
    base_model="owner/tiny",
    base_revision="a" * 40,
    rank=4,
    alpha=8,
    dropout=0.1,  # drawn anew at each step: one that goes on has to draw what it would have
    epochs=2.0,
    learning_rate=1e-2,
    batch_size=4,
    device_batch_size=2,
    max_tokens=512,
    evaluations=3,
    generated=4,
    max_new_tokens=8,
)
