"""What a run left is taken whole and as it was written, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model_pipeline.store.runs import PgRuns
from tests.servers.kaggle_account import State
from tests.servers.kaggle_server import lost, page
from tests.training.kaggle.parts import Seen, leaves, submission, trained
from training import manifest
from training.kaggle.client import Kaggle
from training.kaggle.collect import wait_for
from training.kaggle.submit import submit


def test_what_it_left_is_taken_only_as_it_was_written(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path, seen: Seen
) -> None:
    """A file that arrives otherwise is fetched anew; in the end Kaggle is to blame."""
    model = trained(tmp_path / "model")
    (model / "adapter" / "adapter_model.safetensors").write_bytes(b"WEIGHTS")
    account.command = leaves(model)
    run = submit(runs, kaggle, submission(tmp_path))
    run = wait_for(runs, kaggle, seen.collecting(tmp_path), run)
    assert (run.state, run.verdict, run.collections) == ("failed", "infrastructure", 5)
    assert any("its hash differs" in line for line in seen.lines)


def test_an_output_that_is_cut_is_fetched_anew(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path, seen: Seen
) -> None:
    account.command = leaves(trained(tmp_path / "model"))
    account.faults["GET"].extend([lost, page(200), page(503), lost, page(200)])
    run = wait_for(
        runs, kaggle, seen.collecting(tmp_path), submit(runs, kaggle, submission(tmp_path))
    )
    assert (run.state, run.collections) == ("succeeded", 2)


def test_files_that_no_manifest_names_are_left_behind(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path, seen: Seen
) -> None:
    account.command = leaves(trained(tmp_path / "model"))
    account.outputs["__notebook__.ipynb"] = b"{}"
    account.outputs["adapter/pytorch_model.bin"] = b"code that runs when it is loaded"
    run = wait_for(
        runs, kaggle, seen.collecting(tmp_path), submit(runs, kaggle, submission(tmp_path))
    )
    assert run.state == "succeeded"
    model = tmp_path / "collected" / str(run.run_id) / "model"
    assert sorted(path.name for path in model.rglob("*") if path.is_file()) == [
        "adapter_model.safetensors", "manifest.json", "metrics.json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda model: (model / "manifest.json").unlink(), "without writing its manifest"),
        (lambda model: (model / "manifest.json").write_text("{"), "is not JSON"),
        (lambda model: manifest.write(model, {"dataset_hash": "other"}), "on other data"),
        (
            lambda model: (
                (model / "metrics.json").write_text("nan?"),
                manifest.write(model, {"dataset_hash": "d" * 64}),
            ),
            "metrics.json is not there",
        ),
    ],
)
def test_what_it_left_is_not_what_it_should_be(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path, seen: Seen,
    spoil: Callable[[Path], Any], reason: str,
) -> None:  # fmt: skip
    model = trained(tmp_path / "model")
    spoil(model)
    account.command = leaves(model)
    run = wait_for(
        runs, kaggle, seen.collecting(tmp_path), submit(runs, kaggle, submission(tmp_path))
    )
    assert (run.state, run.verdict) == ("failed", "failed")
    assert run.reason and reason in run.reason
