"""What watches over a training session, step by step. Each of them does the same in every process,
or says so."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from training import manifest
from training.learning.failed import FinetuneFailed
from training.learning.progress import Progress, Tell

SKIPPED = 30  # steps in a row: fp16's loss scale is then what no number survives
LOG = "log.jsonl"
KEPT = {  # of what the trainer logs
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "mean_token_accuracy": "token_accuracy",
    "eval_loss": "validation_loss",
    "eval_mean_token_accuracy": "validation_token_accuracy",
}


def log_row(logged: Mapping[str, Any]) -> dict[str, Any] | None:
    """A line of log.jsonl: of a step's loss, or of the validation's; None for anything else."""
    if "loss" not in logged and "eval_loss" not in logged:
        return None
    return {"step": logged["step"]} | {
        ours: logged[theirs] for theirs, ours in KEPT.items() if theirs in logged
    }


class Log(TrainerCallback):
    """log.jsonl, and who watches; the first process alone. One that goes on begins the log anew
    with what came before it."""

    def __init__(self, path: Path, tell: Tell) -> None:
        self._path = path
        self._tell = tell

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            rows = filter(None, map(log_row, state.log_history))
            self._path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        row = log_row(state.log_history[-1])
        if row is None or not state.is_world_process_zero:
            return
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        if "loss" in row:
            self._tell(Progress("training", state.global_step, state.max_steps, row["loss"]))


class Guard(TrainerCallback):
    """Ends a run whose numbers are none before a checkpoint is made of it. With fp16 the loss scale
    is found by trying: gradients may be infinite, and the step is left out, for some steps."""

    def __init__(self, precision: str) -> None:
        self._allowed = SKIPPED if precision == "fp16" else 0
        self._skipped = 0

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        logged = state.log_history[-1]
        for what, key in (("loss", "loss"), ("validation loss", "eval_loss")):
            if not math.isfinite(logged.get(key, 0)):
                raise _diverged(what, state.global_step)
        if "grad_norm" not in logged:
            return
        self._skipped = 0 if math.isfinite(logged["grad_norm"]) else self._skipped + 1
        if self._skipped > self._allowed:
            raise _diverged("gradient", state.global_step)


def _diverged(what: str, step: int) -> FinetuneFailed:
    return FinetuneFailed(
        f"The {what} is no finite number at step {step}: lower finetune.learning_rate, or look at "
        "the training data of that step."
    )


class Stop(TrainerCallback):
    """Leaves a checkpoint and ends where time is up, or where `asked` says so in any process.
    `until` is of time.monotonic()."""

    def __init__(self, until: float | None, asked: Callable[[], bool]) -> None:
        self.stopped = False
        self._until = until
        self._asked = asked
        self._began = time.monotonic()

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._began = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        now = time.monotonic()
        # The next step takes about as long as this one did.
        late = self._until is not None and 2 * now - self._began >= self._until
        if _in_any(late or self._asked(), args) and state.global_step < state.max_steps:
            self.stopped = control.should_save = control.should_training_stop = True


def _in_any(wanted: bool, args: Any) -> bool:
    """Clocks and signals differ; all processes have to end at the same step."""
    if args.world_size <= 1:
        return wanted
    flag = torch.tensor(float(wanted), device=args.device)
    torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
    return bool(flag.item())


class Patience(TrainerCallback):
    """Ends after so many evaluations in a row without a lower loss. It counts them in the log, so
    that one that goes on has seen those before it."""

    def __init__(self, patience: int) -> None:
        self.ran_out = False
        self._patience = patience

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        losses = validation_losses(state.log_history)
        since = len(losses) - 1 - losses.index(min(losses)) if losses else 0
        if 0 < self._patience <= since:
            self.ran_out = control.should_training_stop = True


def validation_losses(history: Sequence[Mapping[str, Any]]) -> list[float]:
    """After the first step; what was measured before it is not of this run's making."""
    return [one["eval_loss"] for one in history if "eval_loss" in one and one["step"] > 0]


class Whole(TrainerCallback):
    """A checkpoint gets its manifest once all processes have written theirs: one that was being
    written when the machine went away has none, and nobody goes on from it."""

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if args.world_size > 1:
            torch.distributed.barrier()
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            manifest.write(folder, {"step": state.global_step})


class Pace(TrainerCallback):
    """Seconds in optimizer steps. The first of a session warms up, and is left out where there are
    others."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self._began = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._began = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if args.device.type == "cuda":
            torch.cuda.synchronize()  # or it would be the time that giving the orders took
        self.steps.append(time.monotonic() - self._began)
