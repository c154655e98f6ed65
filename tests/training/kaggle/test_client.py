"""Kaggle's own client against a server that stands for Kaggle, and each way in which it says that
it did not do what it answered 200 to."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model_pipeline.errors import ConfigurationError, InvalidInput
from tests.servers.kaggle_account import KEY, OWNER, TOKEN, State
from tests.servers.kaggle_server import denied, hangs, lost, page, says
from tests.training.kaggle.parts import NOTEBOOK, QUICK, leaves, notebook, trained, waits
from training.kaggle.client import Kaggle, PushRefused
from training.kaggle.outputs import download, log_lines
from training.kaggle.wire import KaggleAway, KaggleDenied

SLUG = "promptly-" + "0" * 32


@pytest.fixture
def put(kaggle: Kaggle, tmp_path: Path) -> Path:
    """A dataset of one file, ready."""
    path = tmp_path / "train.jsonl"
    path.write_text('{"id": 1}\n')
    kaggle.put_dataset(SLUG, [path], again=False)
    while kaggle.dataset_status(SLUG) != "ready":
        pass
    return path


def test_who_asks(account: State) -> None:
    assert Kaggle(token=TOKEN, patience=QUICK).user == OWNER
    assert account.asked[0][0] == "IntrospectToken"
    with pytest.raises(ConfigurationError, match="does not take KAGGLE_API_TOKEN"):
        Kaggle(token="wrong", patience=QUICK)
    with pytest.raises(ConfigurationError, match="does not take the key"):
        Kaggle(username=OWNER, key="wrong", patience=QUICK).quota()
    with pytest.raises(ConfigurationError, match="needs KAGGLE_API_TOKEN, or KAGGLE_USERNAME and"):
        Kaggle(username=OWNER)
    assert Kaggle(username=OWNER, key=KEY, patience=QUICK).quota()


def test_the_quota_in_hours(kaggle: Kaggle, account: State) -> None:
    quota = kaggle.quota()
    assert quota and (quota.used, quota.allowed, quota.left) == (3.5, 30, 26.5)
    assert quota.to_row()["refresh_at"] == "2026-11-28T00:00:00"
    account.faults["GetAcceleratorQuotaStatistics"].append(says())
    assert kaggle.quota() is None


def test_a_dataset_from_nothing_to_gone(kaggle: Kaggle, account: State, put: Path) -> None:
    assert kaggle.dataset_files(SLUG) == {"train.jsonl": put.stat().st_size}
    [created] = [body for method, body in account.asked if method == "CreateDataset"]
    assert created["isPrivate"] is True
    account.processing = 2
    kaggle.put_dataset(SLUG, [put], again=True)
    assert kaggle.dataset_status(SLUG) == "processing"
    with pytest.raises(KaggleDenied):  # its last version is still processed
        kaggle.put_dataset(SLUG, [put], again=True)
    kaggle.delete(SLUG)
    assert kaggle.dataset_status(SLUG) == "absent"
    kaggle.delete(SLUG)  # what is not there is no error


def test_a_dataset_that_is_refused_with_status_200(kaggle: Kaggle, put: Path) -> None:
    with pytest.raises(KaggleAway, match="already in use"):
        kaggle.put_dataset(SLUG, [put], again=False)


def test_an_upload_that_fails_is_sent_anew(kaggle: Kaggle, account: State, tmp_path: Path) -> None:
    path = tmp_path / "wheel.whl"
    path.write_bytes(b"w" * 100_000)
    account.faults["PUT"].extend([page(503), lost])
    kaggle.put_dataset(SLUG, [path], again=False)
    assert account.datasets[SLUG].files == {"wheel.whl": b"w" * 100_000}
    account.faults["PUT"].extend([page(503)] * 3)
    with pytest.raises(KaggleAway, match="503"):
        kaggle.put_dataset("promptly-b", [path], again=False)
    assert "promptly-b" not in account.datasets


def test_what_a_push_sends(kaggle: Kaggle, account: State, put: Path) -> None:
    account.command = waits()
    assert kaggle.push(SLUG, notebook("print(1)\n", "2"), limit_s=10**6) == 1
    [(_, sent)] = [one for one in account.asked if one[0] == "SaveKernel"]
    assert sent["slug"] == f"{OWNER}/{SLUG}" and sent["newTitle"] == SLUG
    assert sent["isPrivate"] is sent["enableGpu"] is sent["enableInternet"] is True
    assert sent["machineShape"] == "NvidiaTeslaT4" and sent["sessionTimeoutSeconds"] == 12 * 3600
    assert sent["datasetDataSources"] == [f"{OWNER}/{SLUG}"]
    assert '"source": "print(1)\\n"' in sent["text"] and "before" not in sent["text"]
    assert kaggle.kernels() == [SLUG] and kaggle.pushed_version(SLUG) == 1
    assert kaggle.status(SLUG) == ("running", "")


@pytest.mark.parametrize(
    ("fields", "passing", "runs"),
    [
        ({"error": "Maximum batch GPU session count of 2 reached."}, True, False),
        ({"error": "You have exceeded your weekly GPU quota."}, True, False),
        ({"error": "Invalid notebook."}, False, False),
        ({"versionNumber": 1, "invalidDatasetSources": ["anna/x"]}, True, True),
        ({"versionNumber": 1, "invalidKernelSources": ["anna/x"]}, True, True),
        ({"versionNumber": 1, "invalidCompetitionSources": ["x"]}, True, True),
        ({"versionNumber": 1, "invalidModelSources": ["x"]}, True, True),
        ({"versionNumber": 1, "invalidTags": ["x"]}, False, True),
    ],
)
def test_a_push_that_fails_silently(
    kaggle: Kaggle, account: State, fields: dict[str, Any], passing: bool, runs: bool
) -> None:
    account.faults["SaveKernel"].append(says(**fields))
    with pytest.raises(PushRefused) as refused:
        kaggle.push(SLUG, notebook(), limit_s=60)
    assert (refused.value.passing, refused.value.runs) == (passing, runs)


@pytest.mark.parametrize(
    "fault", [says(url="x"), says(versionNumber=0), page(503), page(429), lost]
)
def test_a_push_that_may_have_been_taken_is_not_sent_twice(
    kaggle: Kaggle, account: State, fault: Any
) -> None:
    account.command = waits()
    account.faults["SaveKernel"].append(fault)
    with pytest.raises(KaggleAway):
        kaggle.push(SLUG, notebook(), limit_s=60)
    assert account.count("SaveKernel") == 1


def test_two_sessions_at_once_and_a_dataset_that_is_not_there(
    kaggle: Kaggle, account: State, put: Path
) -> None:
    account.command = waits()
    kaggle.push(SLUG, notebook(), limit_s=60)
    with pytest.raises(PushRefused, match="without its dataset anna/promptly-b"):
        kaggle.push("promptly-b", notebook(), limit_s=60)
    with pytest.raises(PushRefused, match="session count of 2"):
        kaggle.push("promptly-c", notebook(), limit_s=60)
    kaggle.delete_kernel("promptly-b")  # frees its place
    with pytest.raises(PushRefused, match="without its dataset"):
        kaggle.push("promptly-c", notebook(), limit_s=60)


def test_a_notebook_without_a_kernel_is_not_pushed(kaggle: Kaggle, account: State) -> None:
    with pytest.raises(InvalidInput, match=r"names no kernel \(metadata.kernelspec\)"):
        kaggle.push(SLUG, {**NOTEBOOK, "metadata": {}}, limit_s=60)
    assert account.count("SaveKernel") == 0


def test_busy_and_away_are_tried_again_and_told_in_a_sentence(
    kaggle: Kaggle, account: State
) -> None:
    faults = account.faults["GetAcceleratorQuotaStatistics"]
    for passing in (page(429), page(503), page(200), lost):
        faults.extend([passing, passing])
        assert kaggle.quota()
    faults.extend([page(503)] * 3)
    with pytest.raises(KaggleAway, match="Kaggle answers 503"):
        kaggle.quota()
    faults.extend([page(200)] * 3)
    with pytest.raises(KaggleAway, match=r"cannot be read .*Expecting value: line 1 column 1"):
        kaggle.quota()


def test_a_server_that_hangs_is_not_waited_for(account: State) -> None:
    kaggle = Kaggle(username=OWNER, key=KEY, patience=replace(QUICK, request_s=0.2, retries=1))
    account.faults["GetAcceleratorQuotaStatistics"].append(hangs(20))
    with pytest.raises(KaggleAway, match="ReadTimeout"):
        kaggle.quota()


@pytest.mark.parametrize(
    ("spelled", "status"),
    [
        ("QUEUED", "queued"), ("NEW_SCRIPT", "queued"), ("newScript", "queued"),
        ("RUNNING", "running"), ("running", "running"), ("COMPLETE", "complete"),
        ("complete", "complete"), ("ERROR", "error"), ("error", "error"),
        ("CANCEL_REQUESTED", "cancelled"), ("cancelRequested", "cancelled"),
        ("CANCEL_ACKNOWLEDGED", "cancelled"), ("cancelAcknowledged", "cancelled"),
    ],
)  # fmt: skip
def test_statuses_old_and_new(kaggle: Kaggle, account: State, spelled: str, status: str) -> None:
    account.faults["GetKernelSessionStatus"].append(says(status=spelled, failureMessage="why"))
    assert kaggle.status(SLUG) == (status, "why")


def test_a_status_that_nobody_knows_is_none(kaggle: Kaggle, account: State) -> None:
    account.faults["GetKernelSessionStatus"].extend([says(status="PAUSED")] * 3)
    with pytest.raises(KaggleAway, match="KeyError"):
        kaggle.status(SLUG)
    account.faults["GetKernelSessionStatus"].append(denied)
    with pytest.raises(KaggleDenied):
        kaggle.status(SLUG)


def test_what_it_left_comes_page_by_page(kaggle: Kaggle, account: State, tmp_path: Path) -> None:
    model = trained(tmp_path / "model")
    for number in range(30):
        (model / "adapter" / f"{number}.bin").write_bytes(bytes([number]) * 1000)
    account.command = leaves(model, "one", "two\nthree")
    with pytest.raises(PushRefused):  # runs without its dataset
        kaggle.push(SLUG, notebook(), limit_s=60)
    while kaggle.status(SLUG)[0] == "running":
        pass
    account.faults["GET"].extend([page(503), lost])
    names = download(kaggle, SLUG, tmp_path / "out")
    assert len(names) == 33 and account.count("ListKernelSessionOutput") == 2
    for name in names:
        assert (tmp_path / "out" / name).read_bytes() == (model / name).read_bytes()
    assert list(log_lines(kaggle, SLUG)) == ["one", "two", "three"]


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "a\\..\\evil", ""])
def test_a_name_that_leads_elsewhere_is_refused(
    kaggle: Kaggle, account: State, tmp_path: Path, name: str
) -> None:
    account.faults["ListKernelSessionOutput"].append(
        says(files=[{"fileName": name, "url": f"{account.url}/x"}])
    )
    with pytest.raises(InvalidInput, match="leads out of its folder"):
        download(kaggle, SLUG, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_delete_that_fails_silently(kaggle: Kaggle, account: State, put: Path) -> None:
    account.faults["DeleteKernel"].append(says(errorMessage="Not now"))
    with pytest.raises(KaggleAway, match=r"did not delete the kernel .*: Not now"):
        kaggle.delete(SLUG)
    account.faults["DeleteDataset"].append(says(error="Not now"))
    with pytest.raises(KaggleAway, match="did not delete the dataset"):
        kaggle.delete(SLUG)


def test_kaggles_own_command_line_meets_the_same(account: State, tmp_path: Path) -> None:
    """The stand-in speaks to the whole client, and a push that was refused exits with 0."""
    (tmp_path / "run.ipynb").write_text('{"metadata": {}, "cells": []}')
    (tmp_path / "kernel-metadata.json").write_text(
        f'{{"id": "{OWNER}/a-title", "title": "a title", "code_file": "run.ipynb", '
        '"language": "python", "kernel_type": "notebook"}'
    )
    script = (
        "import sys, kaggle.cli; print(kaggle.api.quota_view().gpu_quota.time_used);"
        f"sys.argv = ['kaggle', 'kernels', 'push', '-p', {str(tmp_path)!r}]; kaggle.cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        env={**os.environ, "HOME": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "3:30:00" in done.stdout
    assert "Kernel push error: Notebook has no kernelspec" in done.stdout
