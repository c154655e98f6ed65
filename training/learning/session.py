"""What a session of a fine-tune is told, and what it leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_pipeline.errors import ConfigurationError
from training.config import FinetuneConfig
from training.learning.progress import Tell

ADAPTER, MERGED, CHECKPOINTS = "adapter", "merged", "checkpoints"
METRICS, SAMPLES, BEGUN = "metrics.json", "samples.jsonl", "begun.json"
FINISHED, STOPPED = "finished", "stopped"


@dataclass(frozen=True, slots=True)
class Job:
    """What each of `processes` is told. `base` is where the weights are read from; `until`, of
    time.monotonic(), when the session has to stop."""

    data: Path
    out: Path
    config: FinetuneConfig
    base: str
    processes: int
    checkpoint: Path | None
    until: float | None
    tell: Tell
    asked_to_stop: Callable[[], bool]


def shares(config: FinetuneConfig, processes: int) -> tuple[int, int]:
    """How many examples each of `processes` holds at once, and how many times for one optimizer
    step: the same step on however many devices. Raises ConfigurationError where they share it
    unevenly."""
    if config.batch_size % processes:
        raise ConfigurationError(
            f"finetune.batch_size is {config.batch_size}, which {processes} devices cannot share "
            "evenly."
        )
    share = config.batch_size // processes
    held = max(one for one in range(1, config.device_batch_size + 1) if share % one == 0)
    return held, share // held


def write_json(path: Path, found: dict[str, Any]) -> None:
    """Whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(found, indent=2, allow_nan=False) + "\n", "utf-8")
    part.replace(path)
