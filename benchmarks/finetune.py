"""How fast a fine-tune learns, against TRL as it is when nothing is said, and the chip's limit.

    python -m benchmarks.finetune                 a Llama of 1.2 billion random weights: needs a GPU
    python -m benchmarks.finetune --shape tiny    of 3 million, for a CPU

Both learn the same examples by the same LoRA in processes of their own, in turns: ours by
`training.finetune`, with and without gradient checkpointing; theirs by `SFTTrainer` and an
`SFTConfig` that says nothing else that changes the speed. Tokens are those of the examples, never
padding; each process's first step is left out, and so is what happens between two steps.

The limit is what a matrix product of the precision reaches here. Of a token's products, those of
the forward and of the backward pass are counted, once: weights that are frozen get no gradient, and
what gradient checkpointing computes again is no work done.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from training import manifest
from training.config import FinetuneConfig
from training.learning.examples import TRAIN

SIDES = {"ours": "ours", "kept": "ours, without gradient checkpointing", "theirs": "TRL's defaults"}
WORDS = "the shop opens at nine and closes when nobody asks for more than a loaf of bread".split()
RANK = 16


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a Llama; `tokens` are the fewest and the most of a prompt."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_value_heads: int
    vocabulary: int
    tokens: tuple[int, int]

    @property
    def weights(self) -> int:
        """Of the layers: the head is computed for answers alone, which are few."""
        key_value = self.hidden * self.key_value_heads // self.heads
        attention = 2 * self.hidden * (self.hidden + key_value)
        return self.layers * (attention + 3 * self.hidden * self.intermediate)

    def operations(self, length: int) -> int:
        """Of a token in an example of `length`: forward, and backward to what came in."""
        attention = 2 * length * self.hidden * self.layers  # half of all pairs, twice
        return 4 * self.weights + 3 * attention


SHAPES = {
    "1b": Shape(2048, 8192, 16, 32, 8, 128_256, (300, 1500)),
    "tiny": Shape(256, 688, 4, 8, 4, 1_024, (60, 300)),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.finetune")
    parser.add_argument("--shape", choices=SHAPES, default="1b")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8, help="TRL's default")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.side:
        print(json.dumps(run(asked.side, asked.folder, asked.batch)))
        return
    shape = SHAPES[asked.shape]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make_base(folder / "base", shape)
        make_data(folder / "data", shape, asked.steps * asked.batch)
        found: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
        for _ in range(asked.rounds):
            for side, runs in found.items():
                runs.append(alone(asked, side, folder))
    report(found, shape)


def alone(asked: argparse.Namespace, side: str, folder: Path) -> dict[str, Any]:
    """In a process of its own, which gives all memory back."""
    command = [
        sys.executable, "-m", "benchmarks.finetune", "--side", side, "--folder", str(folder),
        "--batch", str(asked.batch),
    ]  # fmt: skip
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def make_base(folder: Path, shape: Shape) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from tests.language_models import make_tokenizer

    tokenizer = make_tokenizer(" ".join(WORDS), 4096)
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        vocab_size=shape.vocabulary,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    model: Any = LlamaForCausalLM(config)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_data(folder: Path, shape: Shape, count: int) -> None:
    """Prompts of words, each of which is a token or two."""
    rng = random.Random(0)
    folder.mkdir()
    rows = []
    for number in range(count):
        length = round(rng.triangular(*shape.tokens, shape.tokens[0] * 2))
        asked, said = (" ".join(rng.choices(WORDS, k=one)) for one in (length, 24))
        prompt = [{"role": "user", "content": asked}]
        completion = [{"role": "assistant", "content": said}]
        rows.append({"id": str(number), "prompt": prompt, "completion": completion})
    text = "".join(json.dumps(one) + "\n" for one in rows)
    (folder / TRAIN).write_text(text)
    manifest.write(folder, {"hash": hashlib.sha256(text.encode()).hexdigest()})


def run(side: str, folder: Path, batch: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        found = (
            theirs(folder, place, batch) if side == "theirs" else ours(side, folder, place, batch)
        )
    return {**found, "limit": limit()}


def ours(side: str, folder: Path, scratch: Path, batch: int) -> dict[str, Any]:
    from training.finetune import finetune

    config = FinetuneConfig(
        base_model="random",
        base_revision=None,
        rank=RANK,
        alpha=2 * RANK,
        epochs=1.0,
        batch_size=batch,
        device_batch_size=batch,
        max_tokens=4096,
        gradient_checkpointing=side == "ours",
        evaluations=1,
    )
    made = finetune(folder / "data", scratch / "out", config, base=folder / "base")
    training, session = made.metrics["training"], made.metrics["session"]
    return {
        "tokens_per_s": session["tokens_per_s"],
        "peak": session["peak_memory_bytes"],
        "length": training["tokens"] / (training["steps"] * batch),
        "device": made.metrics["devices"][0],
        "precision": made.metrics["precision"],
    }


def theirs(folder: Path, scratch: Path, batch: int) -> dict[str, Any]:
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from training.learning.callbacks import Pace
    from training.learning.devices import names, peak_memory

    class Tokens(TrainerCallback):
        """So far, after each step."""

        def __init__(self) -> None:
            self.seen: list[int] = []

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.seen.append(trainer._total_train_tokens)

    cuda = torch.cuda.is_available()
    # On a CPU, what TRL takes by itself cannot be had.
    given: dict[str, Any] = {} if cuda else {"use_cpu": True, "bf16": False}
    rows = [json.loads(line) for line in (folder / "data" / TRAIN).read_text().splitlines()]
    pace, tokens = Pace(), Tokens()
    trainer: Any = SFTTrainer(
        model=str(folder / "base"),
        args=SFTConfig(
            output_dir=str(scratch),
            num_train_epochs=1,
            per_device_train_batch_size=batch,
            max_length=4096,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            **given,
        ),
        train_dataset=Dataset.from_list(rows).select_columns(["prompt", "completion"]),
        peft_config=LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear"),
        callbacks=[pace, tokens],
    )
    trainer.train()
    return {
        "tokens_per_s": (tokens.seen[-1] - tokens.seen[0]) / sum(pace.steps[1:]),
        "peak": peak_memory(trainer.args.device),
        "length": tokens.seen[-1] / len(rows),
        "device": names()[0],
        "precision": "bf16" if cuda else "fp32",
    }


def limit() -> float:
    """Operations a second of a large product, in the precision that a device has for training."""
    import torch

    cuda = torch.cuda.is_available()
    size, dtype = (8192, torch.bfloat16) if cuda else (2048, torch.float32)
    one = torch.randn(size, size, dtype=dtype, device="cuda" if cuda else "cpu")
    seconds = []
    for _ in range(12):
        began = time.perf_counter()
        torch.matmul(one, one)
        if cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / median(seconds[2:])


def report(found: dict[str, list[dict[str, Any]]], shape: Shape) -> None:
    first = found["ours"][0]
    most = median(one["limit"] for runs in found.values() for one in runs)
    print(f"{first['device']}, {first['precision']}: products reach {most / 1e12:.2f} TFLOP/s\n")
    print("| | tokens/s | of the limit | peak memory | to TRL's defaults |")
    print("|---|---|---|---|---|")
    for side, name in SIDES.items():
        runs = found[side]
        pace = median(one["tokens_per_s"] for one in runs)
        share = pace * shape.operations(round(runs[0]["length"])) / most
        ratios = [
            one["tokens_per_s"] / other["tokens_per_s"]
            for one, other in zip(runs, found["theirs"], strict=True)
        ]
        between = f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        memory = max(one["peak"] or 0 for one in runs) / 2**30
        print(f"| {name} | {pace:,.0f} | {share:.0%} | {memory:.1f} GiB | {between} |")


if __name__ == "__main__":
    main()
