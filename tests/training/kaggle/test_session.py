"""The notebook that is shipped, run by the server that stands for Kaggle, where it cannot go on.
One that learns: tests/promptly/test_whole_loop.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from model_pipeline.store.runs import PgRuns
from promptly.training_runs import read_notebook
from tests.servers.kaggle_account import State
from tests.training.learning import material
from training.kaggle.client import Kaggle
from training.kaggle.collect import Collecting, wait_for
from training.kaggle.submit import Submission, submit
from training.kaggle.wheel import build_wheel


@pytest.fixture
def given(tmp_path: Path) -> Submission:
    data = material.write_data(tmp_path / "data", train=4, validation=2)
    config = replace(material.CONFIG, max_steps=2, evaluations=1, generated=1, max_new_tokens=2)
    return Submission(data, read_notebook(None), build_wheel(tmp_path), config)


def test_a_session_without_internet(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path, given: Submission
) -> None:
    account.internet, account.new_mount = False, True
    lines: list[str] = []
    collecting = Collecting(tmp_path / "collected", tell=lines.append)
    run = wait_for(runs, kaggle, collecting, submit(runs, kaggle, given))
    assert (run.state, run.verdict) == ("failed", "infrastructure"), runs.log(run.run_id)
    assert run.reason and "no internet: verify the phone number" in run.reason

    assert "Internet: no" in lines, "its log is told as it comes"
    assert account.kernels == {} == account.datasets
