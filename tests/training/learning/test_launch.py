"""Several processes for one fine-tune, and processes that are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from model_pipeline.errors import ConfigurationError
from promptly.cli.app import app
from tests.training.learning.material import CONFIG
from tests.training.test_finetune import log, losses, stop_after
from training import manifest
from training.config import FinetuneConfig
from training.finetune import finetune
from training.learning import launch
from training.learning.progress import Progress
from training.learning.session import Job, shares

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.timeout(600),  # most of it is importing, which other tests slow down
]


def test_two_processes_stop_together_and_one_goes_on_with_the_same_losses(
    tiny_base: Path, tiny_data: Path, tmp_path: Path
) -> None:
    """As on two T4s, and then where there is one: each step has the same examples."""
    config = replace(CONFIG, dropout=0.0, evaluations=1, epochs=8.0, generated=0)
    alone = finetune(tiny_data, tmp_path / "alone", config, base=tiny_base)
    tell, stop = stop_after(5)
    both = finetune(
        tiny_data, tmp_path / "both", config, base=tiny_base, processes=2, tell=tell, stop=stop
    )
    assert not both.finished
    steps = both.metrics["training"]["steps"]
    checkpoint = tmp_path / "both" / "checkpoints" / f"checkpoint-{steps}"
    assert 4 <= steps < 44 and (checkpoint / "rng_state_1.pth").is_file()
    assert manifest.verify(both.folder) == []
    found = finetune(tiny_data, tmp_path / "both", config, base=tiny_base)
    assert found.finished and found.metrics["session"]["steps"] == 44 - steps
    assert losses(found.folder) == pytest.approx(losses(alone.folder), rel=1e-3)


def test_what_a_process_raises_is_raised_here(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heard: list[Progress] = []
    job = Job(
        data=tiny_data,
        out=tmp_path,
        config=replace(CONFIG, precision="fp16"),
        base=str(tmp_path),
        processes=1,
        checkpoint=None,
        until=None,
        tell=heard.append,
        asked_to_stop=lambda: False,
    )
    path = tmp_path / "job.json"
    path.write_text(json.dumps(launch._to_dict(job)))
    assert launch.main(path) == 1
    said = capsys.readouterr().out
    more = [Progress("training", 1, 2, 0.5).to_json(), "a library's word", "[1]"]
    talks = [sys.executable, "-c", f"print({chr(10).join([*more, said])!r})"]
    with subprocess.Popen(talks, stdout=subprocess.PIPE, text=True) as launched:
        raised = launch._listen(launched, job, tmp_path / "stop")
    assert isinstance(raised, ConfigurationError)
    assert raised.message.startswith("finetune.precision is fp16, which needs a CUDA device")
    assert heard == [Progress("training", 1, 2, 0.5)]
    assert capsys.readouterr().err == "a library's word\n[1]\n\n"


def test_what_a_process_dies_of_is_told(tmp_path: Path, tiny_data: Path) -> None:
    """A library's error, which the launcher follows with many words of its own."""
    job = Job(
        data=tiny_data,
        out=tmp_path,
        config=CONFIG,
        base="",
        processes=1,
        checkpoint=None,
        until=None,
        tell=lambda _: None,
        asked_to_stop=lambda: False,
    )
    talks = (
        "[rank1]: Traceback\n[rank1]: RuntimeError: CUDA error: no kernel image\nFooError: later"
    )
    with subprocess.Popen([sys.executable, "-c", f"print({talks!r})"], stdout=-1, text=True) as it:
        raised = launch._listen(it, job, tmp_path / "stop")
    assert raised is not None and raised.message == (
        "A process of the fine-tune failed: RuntimeError: CUDA error: no kernel image"
    )


def test_a_step_is_the_same_on_however_many_devices() -> None:
    config = FinetuneConfig(batch_size=16, device_batch_size=4)
    assert [shares(config, one) for one in (1, 2, 4, 8, 16)] == [
        (4, 4), (4, 2), (4, 1), (2, 1), (1, 1),
    ]  # fmt: skip
    assert shares(replace(config, batch_size=6), 1) == (3, 2)
    with pytest.raises(ConfigurationError, match="batch_size is 16, which 3 devices cannot share"):
        shares(config, 3)


def test_a_command_that_is_killed_goes_on(tiny_base: Path, tiny_data: Path, tmp_path: Path) -> None:
    """By SIGKILL, once there is a checkpoint, at whatever it is doing then."""
    config = replace(CONFIG, epochs=10.0, evaluations=5, patience=0, generated=0)
    parameters = tmp_path / "params.yaml"
    parameters.write_text(yaml.safe_dump({"finetune": config.to_dict()}))
    command = [
        "train", "local", str(tiny_data), "--out", str(tmp_path / "out"),
        "--base", str(tiny_base), "--params", str(parameters),
    ]  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-m", "promptly", *command],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as killed:
        assert killed.stderr is not None
        for line in killed.stderr:
            if line.startswith("training: ") and int(line.split()[1]) > 11:
                break
        killed.send_signal(signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "out" / "manifest.json").exists()
    done = CliRunner().invoke(app, [*command, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["finished"] and found["training"]["steps"] == 55
    assert found["session"]["steps"] <= 55 - 11
    whole = finetune(tiny_data, tmp_path / "whole", config, base=tiny_base)
    assert log(tmp_path / "out") == log(whole.folder)
    said = CliRunner().invoke(app, command)
    assert "out: 55 steps, all steps are done; loss 5." in said.stdout
