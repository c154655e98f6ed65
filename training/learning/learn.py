"""One session of a fine-tune, in one process for each device: it learns until it is done or has to
stop, and the first process writes what came of it. It needs torch, transformers, PEFT and TRL."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import disable_progress_bars
from transformers import set_seed
from transformers.utils import logging

from model_pipeline.errors import InvalidInput
from training.config import FinetuneConfig
from training.learning import base, devices
from training.learning.examples import Encoded, Example, encode, read
from training.learning.failed import FinetuneFailed
from training.learning.order import order
from training.learning.results import finish, pace_figures, training_figures
from training.learning.session import FINISHED, METRICS, STOPPED, Job, shares, write_json
from training.learning.trainer import build


@dataclass(frozen=True, slots=True)
class _Set:
    """Examples and the same as tokens; `left_out` were too long."""

    examples: list[Example]
    encoded: list[Encoded]
    left_out: int


def learn(job: Job) -> None:
    """Writes metrics.json last, whose `state` is finished or stopped. Raises FinetuneFailed where
    nothing comes of it, InvalidInput and ConfigurationError where it cannot begin."""
    _quiet()
    began = time.monotonic()
    config = job.config
    found = devices.capabilities()
    precision = devices.choose_precision(config.precision, found)
    if config.method == "qlora":
        devices.require_quantisation()
    revision = None if Path(job.base).is_dir() else config.base_revision
    tokenizer = base.load_tokenizer(job.base, revision)
    learnt, validation = _sets(job, tokenizer)
    taken = _taken(config, learnt.encoded, job.processes)
    set_seed(config.seed)  # the adapter's beginning is drawn too
    model = base.load_model(
        job.base, revision, precision=precision, quantised=config.method == "qlora"
    )
    running, watching = build(
        job,
        model,
        tokenizer,
        taken=taken,
        validation=validation.encoded,
        precision=precision,
    )
    device = running.args.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    try:
        running.train(resume_from_checkpoint=str(job.checkpoint) if job.checkpoint else None)
    except torch.OutOfMemoryError as error:
        raise FinetuneFailed(
            f"The device has no memory left at {config.device_batch_size} examples at once: lower "
            "finetune.device_batch_size or max_tokens, or take the method qlora."
        ) from error
    if not running.is_world_process_zero():
        return
    metrics = {
        "state": STOPPED if watching.stop.stopped else FINISHED,
        "precision": precision,
        "devices": devices.names(),
        "base_revision": revision or getattr(model.config, "_commit_hash", None),
        "examples": {
            "train": len(learnt.examples),
            "validation": len(validation.examples),
            "left_out": learnt.left_out + validation.left_out,
        },
        "training": training_figures(running, watching, taken, len(learnt.examples), job),
    }
    if not watching.stop.stopped:
        metrics["generation"] = finish(
            job, running, tokenizer, validation.examples, validation.encoded, precision
        )
    metrics["session"] = {
        "seconds": time.monotonic() - began,
        "peak_memory_bytes": devices.peak_memory(device),
        **pace_figures(running, watching, taken),
    }
    write_json(job.out / METRICS, metrics)


def _sets(job: Job, tokenizer: Any) -> tuple[_Set, _Set]:
    data = read(job.data)
    found = []
    for given in (data.train, data.validation):
        kept, encoded = encode(given, tokenizer, max_tokens=job.config.max_tokens)
        found.append(_Set(kept, encoded, len(given) - len(kept)))
    learnt, validation = found
    if not learnt.examples:
        raise InvalidInput(
            f"All {learnt.left_out} training examples are longer than finetune.max_tokens, "
            f"{job.config.max_tokens}: raise it, or shorten the prompts."
        )
    return learnt, validation


def _taken(config: FinetuneConfig, encoded: Sequence[Encoded], processes: int) -> list[Encoded]:
    """The examples of all steps, in their order."""
    placed = order(
        [len(one.ids) for one in encoded],
        epochs=config.epochs,
        batch=config.batch_size,
        device_batch=shares(config, processes)[0],
        seed=config.seed,
    )
    most = config.max_steps * config.batch_size if config.max_steps else len(placed)
    return [encoded[one] for one in placed[:most]]


def _quiet() -> None:
    """The libraries' bars are drawn for a terminal; what is said here goes to a log."""
    disable_progress_bars()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
