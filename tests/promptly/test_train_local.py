from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from promptly.cli.app import app
from promptly.cli.train_local import _said, _stopping
from training.finetune import Outcome


def outcome(*, finished: bool, **session: Any) -> Outcome:
    training = {
        "ended": "all steps are done", "steps": 1200, "of_steps": 2400, "first_loss": 2.0,
        "last_loss": 1.0, "validation_loss": 1.25,
    }  # fmt: skip
    figures = {"tokens_per_s": 5432.1, "peak_memory_bytes": 3 * 2**30, **session}
    return Outcome(Path("here"), finished, {"training": training, "session": figures})


def test_an_option_of_training_is_the_command() -> None:
    said = [CliRunner().invoke(app, ["train", one, "--help"]) for one in ("local", "--local")]
    assert said[0].exit_code == 0 and said[0].output == said[1].output
    assert CliRunner().invoke(app, ["train", "status", "--local"]).exit_code == 2


def test_what_came_of_it_is_one_sentence() -> None:
    assert _said(outcome(finished=True)) == (
        "here: 1,200 steps, all steps are done; loss 2.0000 to 1.0000, validation loss 1.2500; "
        "5,432 tokens/s, 3.0 GiB at most."
    )
    assert _said(outcome(finished=True, tokens_per_s=None, peak_memory_bytes=None)).endswith(
        "1.2500; no steps."
    )
    assert _said(outcome(finished=False)) == (
        "Stopped after 1,200 of 2,400 steps: the same command goes on from here."
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_first_signal_lets_the_step_end_and_a_second_does_not_wait(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    with _stopping() as asked:
        assert not asked()
        os.kill(os.getpid(), number)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) == before
    assert capsys.readouterr().err == "Stopping after this step; once more stops at once.\n"
