from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from training.learning.callbacks import SKIPPED, Guard, Patience, log_row
from training.learning.failed import FinetuneFailed


def logs(callback: Guard, *logged: dict[str, Any]) -> None:
    for step, one in enumerate(logged, start=1):
        state = SimpleNamespace(log_history=[one], global_step=step)
        callback.on_log(None, state, None)


def test_fp16_may_skip_steps_while_it_finds_its_scale_but_not_for_ever() -> None:
    skipped = {"loss": 1.0, "grad_norm": math.inf}
    logs(Guard("fp16"), *[skipped] * SKIPPED, {"loss": 1.0, "grad_norm": 1.0}, *[skipped] * SKIPPED)
    said = f"The gradient is no finite number at step {SKIPPED + 1}"
    with pytest.raises(FinetuneFailed, match=said):
        logs(Guard("fp16"), *[skipped] * (SKIPPED + 1))


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_elsewhere_one_gradient_that_is_no_number_is_enough(precision: str) -> None:
    with pytest.raises(FinetuneFailed, match="The gradient is no finite number at step 2"):
        logs(
            Guard(precision), {"loss": 1.0, "grad_norm": 1.0}, {"loss": 1.0, "grad_norm": math.nan}
        )


def test_a_loss_that_is_no_number_ends_it_in_fp16_too() -> None:
    with pytest.raises(FinetuneFailed, match="The loss is no finite number at step 1"):
        logs(Guard("fp16"), {"loss": math.nan, "grad_norm": 1.0})


@pytest.mark.parametrize(
    ("losses", "patience", "ends"),
    [
        ([3.0, 2.0, 2.0], 1, True),
        ([3.0, 2.0, 2.1], 2, False),
        ([3.0, 2.0, 2.1, 2.2], 2, True),
        ([3.0, 2.0, 2.1, 1.9], 2, False),
        ([1.0, 2.0, 3.0], 0, False),
    ],
)
def test_patience_is_counted_from_the_lowest(
    losses: list[float], patience: int, ends: bool
) -> None:
    """What was measured before the first step is not of the run's making."""
    history = [{"step": step, "eval_loss": one} for step, one in enumerate(losses, start=1)]
    state = SimpleNamespace(log_history=[{"step": 0, "eval_loss": 0.5}, *history])
    control = SimpleNamespace(should_training_stop=False)
    watching = Patience(patience)
    watching.on_evaluate(None, state, control)
    assert watching.ran_out is control.should_training_stop is ends


def test_the_log_keeps_what_is_of_a_step_or_a_validation() -> None:
    logged = {"loss": 1.0, "grad_norm": 2.0, "epoch": 0.1, "num_tokens": 9, "step": 3}
    assert log_row(logged) == {"step": 3, "loss": 1.0, "grad_norm": 2.0}
    assert log_row({"train_runtime": 1.0, "step": 3}) is None
