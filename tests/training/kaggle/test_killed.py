"""Submitting and collecting, killed before and after each thing that is asked of Kaggle, and then
gone on with: one run for each key, pushed once, collected once, and nothing left on Kaggle."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from model_pipeline.store.runs import PgRuns, Run
from tests.model_pipeline.crashing import processes
from tests.servers.kaggle_account import State
from tests.servers.kaggle_server import kills, variables
from tests.training.kaggle import dying
from tests.training.kaggle.parts import leaves, submission, trained, waits
from training import manifest
from training.kaggle.client import Kaggle
from training.kaggle.collect import Collecting, collect
from training.kaggle.submit import submit

UPLOADS = ("StartBlobUpload", "PUT")
CHANGES = re.compile("Start|PUT|Create|Save|Delete")


def killed(account: State, number: int, first: bool, target: Callable[..., None], *of: Any) -> None:
    """Run that in a process which dies with the request after so many more."""
    process = processes().Process(target=target, args=of)

    def pid() -> int:
        while process.pid is None:  # it may ask before its start returns
            time.sleep(0.001)
        return process.pid

    account.at[len(account.asked) + number] = kills(pid, first=first)
    process.start()
    process.join(60)
    assert process.exitcode == -9, "it did not come as far"
    assert account.at == {}


def time_goes_by(database: str) -> None:
    """The lease of whoever died is over."""
    with psycopg.connect(database) as connection:
        connection.execute("update runs set leased_until = now() - interval '1 s'")


def moments(account: State, since: int) -> list[tuple[int, bool]]:
    """To be killed at: before each request since then, and, of those that change something, after
    it. Of uploads, which are all alike, at the first."""
    methods = [method for method, _ in account.asked[since:]]
    return [
        (number, first)
        for number, method in enumerate(methods)
        if method not in UPLOADS or methods.index(method) == number
        for first in ((True, False) if CHANGES.match(method) else (True,))
    ]


def test_a_submission_killed_at_each_step(
    database: str, runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path
) -> None:
    account.command = waits()
    dying_of = (database, variables(account), tmp_path)
    kaggle.delete(submit(runs, kaggle, submission(tmp_path, key="whole")).slug)
    steps = moments(account, 0)[:-4]  # without those of the two that deleted it
    assert account.asked[steps[-1][0]][0] == "SaveKernel" and len(steps) >= 13
    kaggle.patience = replace(kaggle.patience, appear_s=0)  # a kernel is seen at once or not there
    for number, first in steps:
        key = f"{number} {first}"
        killed(account, number, first, dying.submitting, *dying_of, key)
        time_goes_by(database)
        run = submit(runs, kaggle, submission(tmp_path, key=key))
        assert (run.state, run.kernel_version) == ("submitted", 1), key
        assert account.kernels[run.slug].versions == 1, "one session, whoever pushed it"
        assert account.datasets[run.slug].version == 1
        kaggle.delete(run.slug)
    assert account.count("SaveKernel") == len(steps) + 2, "again only where it was killed before it"


def test_a_kernel_that_cannot_be_seen_yet_is_not_pushed_again(
    database: str, runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path
) -> None:
    account.command, account.unseen = waits(), 5
    submit(runs, kaggle, submission(tmp_path, key="whole"))
    last, _ = moments(account, 0)[-1]
    killed(
        account, last, False, dying.submitting, database, variables(account), tmp_path, "key"
    )  # fmt: skip
    time_goes_by(database)
    run = submit(runs, kaggle, submission(tmp_path, key="key"))
    assert (run.state, run.pushes) == ("submitted", 1)
    assert account.kernels[run.slug].versions == 1


@pytest.fixture
def ended(runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path) -> Callable[[str], Run]:
    """Submits a run that has done all it should."""
    account.command = leaves(trained(tmp_path / "model"), "step 1")

    def make(key: str) -> Run:
        run = submit(runs, kaggle, submission(tmp_path, key=key))
        while kaggle.status(run.slug)[0] != "complete":
            time.sleep(0.005)
        return run

    return make


def collected(runs: PgRuns, kaggle: Kaggle, account: State, folder: Path, run: Run) -> None:
    tracked: list[Path] = []
    track = lambda model, run, metrics: tracked.append(model)  # noqa: E731
    collect(runs, kaggle, Collecting(folder, track=track), only=run)
    found = runs.get(run.run_id)
    assert found.state == "succeeded" and found.cleaned_at and found.told == "succeeded"
    assert manifest.verify(folder / str(run.run_id) / "model") == []
    assert len(tracked) <= 1 and account.kernels == {} == account.datasets
    ends = [one.event for one in runs.events(run.run_id) if one.event in ("end", "succeed")]
    assert ends == ["end", "succeed"]


def test_a_collection_killed_at_each_step(
    database: str, runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path,
    ended: Callable[[str], Run],
) -> None:  # fmt: skip
    folder = tmp_path / "collected"
    run, since = ended("whole"), len(account.asked)
    collected(runs, kaggle, account, folder, run)
    steps = moments(account, since)
    assert account.asked[-1][0] == "DeleteDataset" and len(steps) >= 11
    for number, first in steps:
        run = ended(f"{number} {first}")
        given = (database, variables(account), folder, run, None)
        killed(account, number, first, dying.collecting, *given)
        time_goes_by(database)
        collected(runs, kaggle, account, folder, run)


@pytest.mark.parametrize("where", ["score", "track", "publish", "notify"])
def test_a_collection_killed_in_what_it_hands_in(
    database: str, runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path,
    ended: Callable[[str], Run], where: str,
) -> None:  # fmt: skip
    run = ended(where)
    process = processes().Process(
        target=dying.collecting, args=(database, variables(account), tmp_path / "c", run, where)
    )
    process.start()
    process.join(60)
    assert process.exitcode == -9
    time_goes_by(database)
    collected(runs, kaggle, account, tmp_path / "c", run)
