"""Folders as a fine-tune leaves them, in milliseconds: the right files, with numbers that mean
nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from training import manifest

BASE = "someone/base"
BASE_COMMIT = "b" * 40
PINNED = f"{BASE}@{BASE_COMMIT}"
FACTS: dict[str, Any] = {
    "base_model": BASE,
    "base_revision": BASE_COMMIT,
    "dataset_hash": "d" * 64,
    "config": {"base_model": BASE, "base_revision": BASE_COMMIT, "rank": 4, "learning_rate": 2e-4},
    "versions": {"torch": "2.13.0", "peft": "0.21.2"},
    "git_commit": "c" * 40,
    "seed": 0,
}


def finetuned(
    folder: Path,
    *,
    seed: int = 0,
    extra: Mapping[str, str] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """`extra` has files beside or in place of the usual ones, `facts` the manifest's."""
    numbers = np.random.default_rng(seed).normal(size=(8, 8)).astype(np.float32)
    texts = {
        "adapter/adapter_config.json": json.dumps(
            {"peft_type": "LORA", "r": 4, "base_model_name_or_path": "/kaggle/input/base/1"}
        ),
        "adapter/README.md": "---\nbase_model: /kaggle/input/base/1\n---\nWritten by a library.",
        "adapter/tokenizer_config.json": '{"tokenizer_class": "X"}',
        "merged/config.json": '{"model_type": "llama"}',
        "merged/tokenizer_config.json": '{"tokenizer_class": "X"}',
        "merged/tokenizer.json": '{"model": {"vocab": {"/home/user/": 1}}}',
        "metrics.json": json.dumps(
            {
                "loss": 1.25,
                "devices": ["T4", "T4"],
                "tokens_per_s": 900,
                "generation": {
                    "answered": 64,
                    "before": {"rouge_l_f1": 0.25},
                    "after": {"rouge_l_f1": 0.5},
                },
                "fits": True,
                "curve": [1] * 9,
            }
        ),
        "log.jsonl": '{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.25}\n',
        "checkpoints/step-2/optimizer.pt": "pickled",
        **(extra or {}),
    }
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for name in ("adapter/adapter_model.safetensors", "merged/model.safetensors"):
        save_file({"weight": numbers}, folder / name, {"format": "pt"})
    manifest.write(folder, {**FACTS, **(facts or {})})
    return folder
