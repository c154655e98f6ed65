"""What came of a session: the figures of metrics.json, the adapter, and what the model answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from peft import set_peft_model_state_dict
from safetensors.torch import load_file

from training.learning import answers, base, callbacks
from training.learning.examples import Encoded, Example
from training.learning.failed import FinetuneFailed
from training.learning.order import padding_share
from training.learning.session import ADAPTER, CHECKPOINTS, MERGED, SAMPLES, Job, shares
from training.learning.trainer import Watching


def training_figures(
    trainer: Any, watching: Watching, taken: Sequence[Encoded], examples: int, job: Job
) -> dict[str, Any]:
    """Of all sessions so far: `ended` says why there are no more steps. `examples` are as many as
    an epoch has."""
    state = trainer.state
    history = [one for one in map(callbacks.log_row, state.log_history) if one]
    losses = [one["loss"] for one in history if "loss" in one]
    validation = {
        one["step"]: one["validation_loss"] for one in history if "validation_loss" in one
    }
    lengths = _lengths(taken[: state.global_step * job.config.batch_size])
    ended = "all steps are done"
    if watching.stop.stopped:
        ended = "it was stopped"
    elif watching.patience.ran_out:
        ended = "the validation loss fell no more"
    return {
        "ended": ended,
        "steps": state.global_step,
        "of_steps": state.max_steps,
        "epochs": len(lengths) / examples,
        "tokens": sum(lengths),
        "padding_share": padding_share(lengths, shares(job.config, job.processes)[0]),
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "validation_loss_before": validation.pop(0, None),
        "validation_loss": min(validation.values(), default=None),
        "best_step": state.best_global_step,
        "trained_parameters": sum(
            one.numel() for one in trainer.model.parameters() if one.requires_grad
        ),
    }


def pace_figures(trainer: Any, watching: Watching, taken: Sequence[Encoded]) -> dict[str, Any]:
    """Of this session: `tokens_per_s` are real ones, not padding; its first step warms up."""
    seconds, last = watching.pace.steps, trainer.state.global_step
    counted = seconds[1:] if len(seconds) > 1 else seconds
    batch = len(taken) // trainer.state.max_steps
    tokens = sum(_lengths(taken[(last - len(counted)) * batch : last * batch]))
    return {"steps": len(seconds), "tokens_per_s": tokens / sum(counted) if counted else None}


def _lengths(encoded: Sequence[Encoded]) -> list[int]:
    return [len(one.ids) for one in encoded]


def finish(
    job: Job,
    trainer: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    encoded: Sequence[Encoded],
    precision: str,
) -> dict[str, Any]:
    """Writes the best adapter, what it answers to `examples`, and the merged model where that is
    asked for; gives how good the answers are."""
    config = job.config
    model = trainer.accelerator.unwrap_model(trainer.model)
    _take_best(model, job.out / CHECKPOINTS, trainer.state.best_global_step)
    learnt = [one for name, one in model.named_parameters() if "lora_B" in name]
    if not any(one.any() for one in learnt):
        raise FinetuneFailed(
            "Nothing was learnt: every lora_B is still zero, so that the model is its base. With "
            "fp16 the first steps are left out: give it more, or precision fp32."
        )
    base.save_adapter(model, job.out / ADAPTER, config)
    mixed = (
        nullcontext()
        if precision == "fp32"
        else torch.autocast(model.device.type, base.torch_dtype(precision))
    )
    answered = answers.answer(
        model,
        tokenizer,
        examples[: config.generated],
        encoded[: config.generated],
        batch=config.device_batch_size,
        max_new_tokens=config.max_new_tokens,
        autocast=mixed,
        until=job.until,
        tell=job.tell,
    )
    rows = "".join(json.dumps(one.to_row(), ensure_ascii=False) + "\n" for one in answered)
    (job.out / SAMPLES).write_text(rows, "utf-8")
    if config.merge:
        whole = base.merged(model, job.base, config, precision)
        whole.save_pretrained(job.out / MERGED)
        tokenizer.save_pretrained(job.out / MERGED)
    return answers.scores(answered)


def _take_best(model: Any, folder: Path, step: int | None) -> None:
    """The trainer's own way goes on with the last weights, in a log line, where the folder that it
    remembers is another machine's."""
    if step is None:  # nothing validates it
        return
    path = folder / f"checkpoint-{step}" / "adapter_model.safetensors"
    if not path.is_file():
        raise FinetuneFailed(
            f"The checkpoint of step {step}, which was the best, is gone: begin anew."
        )
    set_peft_model_state_dict(model, load_file(path))
