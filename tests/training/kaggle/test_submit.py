"""Submitting a run: what is pushed when, what is asked before, and what becomes of each refusal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model_pipeline.errors import InvalidInput, Unavailable
from model_pipeline.store.runs import PgRuns, Run, RunHeld
from tests.servers.kaggle_account import OWNER, State
from tests.servers.kaggle_server import denied, lost, page, says
from tests.training.kaggle.parts import DATASET_HASH, NOTEBOOK, submission, waits
from training.kaggle.client import Kaggle, PushRefused
from training.kaggle.runs import cancel, held
from training.kaggle.submit import content_key, submit
from training.kaggle.wire import KaggleAway


@pytest.fixture(autouse=True)
def kernels_wait(account: State) -> None:
    account.command = waits()


def events(runs: PgRuns, run: Run) -> list[str]:
    return [event.event for event in runs.events(run.run_id)]


def without_patience(kaggle: Kaggle) -> None:
    """A kernel that is not seen at once is not there."""
    kaggle.patience = replace(kaggle.patience, appear_s=0)


def test_a_run_is_on_kaggle_and_recorded(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path
) -> None:
    told: list[str] = []
    given = submission(tmp_path, git_commit="c" * 40)
    run = submit(runs, kaggle, given, notify=lambda run: told.append(run.state))
    assert (run.state, run.kernel_version, run.pushes) == ("submitted", 1, 1)
    assert run.quota == {"used": 3.5, "allowed": 30, "refresh_at": "2026-11-28T00:00:00"}
    assert run.config["time_limit_s"] == 600 and run.dataset_hash == DATASET_HASH
    assert events(runs, run) == ["open", "push", "pushed"]
    assert told == ["submitted"]
    assert list(account.kernels) == [run.slug]
    files = account.datasets[run.slug].files
    assert sorted(files) == [
        "config.json", "manifest.json", given.wheel.name, "run.json", "train.jsonl",
        "validation.jsonl",
    ]  # fmt: skip
    assert run.run_id.hex in run.slug and str(run.run_id).encode() in files["run.json"]
    assert account.kernels[run.slug].request["sessionTimeoutSeconds"] == 600 + 3600


def test_the_same_again_is_the_same_run(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path
) -> None:
    given = submission(tmp_path)
    first = submit(runs, kaggle, given)
    assert submit(runs, kaggle, given).run_id == first.run_id
    assert account.count("SaveKernel") == account.count("CreateDataset") == 1
    other = replace(given, config=replace(given.config, rank=4))
    assert submit(runs, kaggle, other).run_id != first.run_id


def test_the_key_is_of_all_that_decides_what_comes_out(tmp_path: Path) -> None:
    given = submission(tmp_path)
    first = content_key(given, "d")
    assert content_key(submission(tmp_path), "d") == first
    given.wheel.write_bytes(b"another")
    keys = {first, content_key(given, "d"), content_key(given, "e")}
    keys.add(content_key(replace(given, config=replace(given.config, seed=1)), "d"))
    assert len(keys) == 4


@pytest.mark.parametrize("name", ["train.jsonl", "manifest.json"])
def test_damaged_training_data_goes_nowhere(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path, name: str
) -> None:
    given = submission(tmp_path)
    (given.data / name).write_text("[]")
    with pytest.raises(
        InvalidInput, match=r"Make the training data again|is no manifest of format 1"
    ):
        submit(runs, kaggle, given)
    (given.data / name).unlink()
    with pytest.raises(InvalidInput, match=r"train.jsonl is missing|has no manifest.json"):
        submit(runs, kaggle, given)
    assert runs.newest(5) == [] and account.asked == []


def test_a_quota_that_is_too_low_is_told_before_anything_is_recorded(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path
) -> None:
    account.hours_used = 29.5
    with pytest.raises(Unavailable, match=r"0\.5 of 30\.0 hours left until 2026-11-28 00:00 UTC"):
        submit(runs, kaggle, submission(tmp_path))
    assert runs.newest(5) == [] and account.datasets == {}


def test_where_there_is_no_room_it_stays_prepared_and_goes_on(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path
) -> None:
    given = submission(tmp_path)
    busy = [submit(runs, kaggle, replace(given, key=key)) for key in "ab"]
    for _ in range(4):  # more than it may be pushed: none of these is a push that failed
        with pytest.raises(Unavailable, match=r"session count of 2 reached\. Run \w+ is prepared"):
            submit(runs, kaggle, given)
    [waiting] = runs.in_states(["preparing"])
    assert waiting.pushes == 0
    cancel(runs, busy[0])
    run = submit(runs, kaggle, given)
    assert (run.run_id, run.state) == (waiting.run_id, "submitted")
    assert busy[0].slug not in account.kernels, "swept before the push"
    assert account.count("CreateDataset") == 3


def test_a_dataset_that_kaggle_does_not_know_yet(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path
) -> None:
    """The kernel ran without it, and is deleted before the next push."""
    unknown = says(versionNumber=1, invalidDatasetSources=["anna/x"])
    account.faults["SaveKernel"].append(unknown)
    run = submit(runs, kaggle, submission(tmp_path))
    assert (run.state, run.pushes) == ("submitted", 2)
    methods = [method for method, _ in account.asked]
    assert methods[methods.index("SaveKernel") + 1] == "DeleteKernel"
    account.faults["SaveKernel"].extend([unknown] * 3)
    failed = submit(runs, kaggle, submission(tmp_path, key="b"))
    assert (failed.state, failed.verdict) == ("failed", "infrastructure")
    assert failed.slug not in account.datasets


def test_a_notebook_that_is_refused_fails_the_run(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path
) -> None:
    account.faults["SaveKernel"].append(says(error="Invalid notebook."))
    with pytest.raises(PushRefused, match="Invalid notebook"):
        submit(runs, kaggle, submission(tmp_path))
    with pytest.raises(InvalidInput, match="names no kernel"):
        submit(runs, kaggle, submission(tmp_path, key="b", notebook={**NOTEBOOK, "metadata": {}}))
    for run in runs.newest(5):
        assert (run.state, run.verdict) == ("failed", "failed")
    assert account.datasets == {}


def test_a_push_whose_answer_got_lost_is_found(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path
) -> None:
    """A new kernel cannot be seen at first: 403 is no proof that it is not there."""
    account.unseen = 4
    account.faults["SaveKernel"].append(lost)
    run = submit(runs, kaggle, submission(tmp_path))
    assert (run.state, run.pushes) == ("submitted", 1)
    assert account.count("SaveKernel") == 1 and account.count("GetKernel") == 5


@pytest.mark.parametrize("fault", [page(503), page(429), says(url="without a version")])
def test_a_push_that_was_not_taken_is_done_again(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path, fault: Any
) -> None:
    without_patience(kaggle)
    account.faults["SaveKernel"].append(fault)
    run = submit(runs, kaggle, submission(tmp_path))
    assert (run.state, run.pushes) == ("submitted", 2)
    assert events(runs, run) == ["open", "push", "refused", "push", "pushed"]
    assert account.kernels[run.slug].versions == 1


def test_after_three_pushes_kaggle_is_to_blame(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path
) -> None:
    without_patience(kaggle)
    account.faults["SaveKernel"].extend([page(503)] * 3)
    run = submit(runs, kaggle, submission(tmp_path))
    assert (run.state, run.verdict, run.pushes) == ("failed", "infrastructure", 3)
    assert account.datasets == {} == account.kernels


def test_a_dataset_is_waited_for_and_made_whole(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path
) -> None:
    """Its first version lacks a file, its next one is denied while the first is processed."""
    account.processing = 3
    incomplete = says(datasetFiles=[{"name": "train.jsonl", "totalBytes": 12}])
    account.faults["ListDatasetFiles"].extend([incomplete] * 2)
    account.faults["CreateDatasetVersion"].append(denied)
    run = submit(runs, kaggle, submission(tmp_path))
    assert run.state == "submitted" and account.datasets[run.slug].version == 2
    assert account.count("CreateDatasetVersion") == 2


def test_a_dataset_that_never_gets_ready_is_told_and_gone_on_with(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path
) -> None:
    account.processing = 10**6
    kaggle.patience = replace(kaggle.patience, dataset_s=0.1)
    with pytest.raises(KaggleAway, match=r"did not make the dataset .* ready within 0 s"):
        submit(runs, kaggle, submission(tmp_path))
    [run] = runs.in_states(["preparing"])
    account.datasets[run.slug].reads_left = 0
    assert submit(runs, kaggle, submission(tmp_path)).run_id == run.run_id
    assert account.count("CreateDataset") == 1


def test_a_run_that_is_cancelled_while_it_is_pushed_leaves_nothing(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path
) -> None:
    def cancelled(call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        answer = call()
        cancel(runs, runs.newest(1)[0])
        return answer

    account.faults["SaveKernel"].append(cancelled)
    with pytest.raises(RunHeld, match="changed by another process"):
        submit(runs, kaggle, submission(tmp_path))
    assert account.kernels == {} == account.datasets
    assert runs.newest(1)[0].state == "cancelled"


def test_one_at_a_time_submits_a_run(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path
) -> None:
    given = submission(tmp_path, key="k")
    run = runs.open("k", dataset_hash=DATASET_HASH, config=given.config.to_dict())
    with held(runs, run.run_id), pytest.raises(RunHeld, match="Another process works on"):
        submit(runs, kaggle, given)
    assert account.count("SaveKernel") == 0


def test_what_other_runs_left_is_swept_and_what_others_own_stays(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path
) -> None:
    first = submit(runs, kaggle, submission(tmp_path, key="a"))
    foreign = f"promptly-{'f' * 32}"
    with pytest.raises(PushRefused):
        kaggle.push(foreign, NOTEBOOK, limit_s=60)
    cancel(runs, first)
    submit(runs, kaggle, submission(tmp_path, key="b"))
    assert first.slug not in account.kernels and first.slug not in account.datasets
    assert foreign in account.kernels
    assert runs.get(first.run_id).cleaned_at
    # One that shows up late is deleted too.
    account.kernels[first.slug] = account.kernels.pop(foreign)
    kaggle.delete_kernel(runs.find("b").slug)  # type: ignore[union-attr]
    submit(runs, kaggle, submission(tmp_path, key="c"))
    assert first.slug not in account.kernels
    assert all(body.get("userName", OWNER) == OWNER for _, body in account.asked)
