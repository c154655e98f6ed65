"""Collecting runs: how each way in which Kaggle lets a run end becomes a state, a verdict and a
reason, and that nothing stays on Kaggle."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest

from model_pipeline.errors import Conflict, Unavailable
from model_pipeline.store.runs import PgRuns, Run
from tests.servers.kaggle_account import Answered, Fault, State
from tests.servers.kaggle_server import denied, page, says
from tests.training.kaggle.parts import Seen, breaks, leaves, submission, trained, waits
from training import manifest
from training.kaggle.client import Kaggle, PushRefused
from training.kaggle.collect import Collecting, collect, follow, wait_for
from training.kaggle.runs import cancel, held
from training.kaggle.submit import submit
from training.kaggle.verdicts import verdict_of


def change(database: str, statement: LiteralString) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(statement)


def streamed(text: str) -> Fault:
    def fault(_: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        raise Answered(200, text.encode(), "text/event-stream")

    return fault


def test_a_run_that_did_all_it_should(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path, seen: Seen
) -> None:
    account.command = leaves(trained(tmp_path / "model"), "step 1", "step 2")
    account.queued = 2
    collecting = seen.collecting(tmp_path)
    run = submit(runs, kaggle, submission(tmp_path), notify=collecting.notify)
    run = wait_for(runs, kaggle, collecting, run)
    assert run.state == "succeeded" and runs.get(run.run_id).cleaned_at and run.ended_at
    assert run.metrics == {"state": "finished", "loss": 0.5, "bleu_4": 0.25} == seen.tracked[0]
    model = tmp_path / "collected" / str(run.run_id) / "model"
    assert manifest.verify(model) == [] and run.manifest == manifest.read(model)
    assert (model / "adapter" / "adapter_model.safetensors").read_bytes() == b"weights"
    assert runs.log(run.run_id) == "step 1\nstep 2"
    assert (model.parent / "kernel.log").read_text() == "step 1\nstep 2\n"
    assert account.kernels == {} == account.datasets
    assert seen.told_but_running == ["submitted", "succeeded"]
    names = [event.event for event in runs.events(run.run_id)]
    assert [one for one in names if one != "start"] == ["open", "push", "pushed", "end", "succeed"]


def test_collecting_again_changes_nothing(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path, seen: Seen
) -> None:
    account.command = leaves(trained(tmp_path / "model"))
    run = wait_for(
        runs, kaggle, seen.collecting(tmp_path), submit(runs, kaggle, submission(tmp_path))
    )
    told = list(seen.told)
    assert collect(runs, kaggle, seen.collecting(tmp_path)) == []
    assert (
        runs.get(run.run_id).state == "succeeded" and seen.told == told and len(seen.tracked) == 1
    )


def test_one_that_came_to_its_time_limit_is_stopped(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path, seen: Seen
) -> None:
    account.command = leaves(trained(tmp_path / "model", state="stopped"))
    run = wait_for(
        runs, kaggle, seen.collecting(tmp_path), submit(runs, kaggle, submission(tmp_path))
    )
    assert run.state == "stopped" and run.verdict is None and seen.tracked == []
    assert (tmp_path / "collected" / str(run.run_id) / "model" / "checkpoints").is_dir()
    assert account.kernels == {}


@pytest.mark.parametrize(
    ("said", "verdict", "reason"),
    [
        ("ValueError: loss is nan", "failed", "ValueError: loss is nan"),
        (
            "gaierror: [Errno -3] Temporary failure in name resolution",
            "infrastructure",
            "no internet: verify the phone number",
        ),
        ("RuntimeError: Found no NVIDIA driver on your system", "infrastructure", "no GPU"),
        (
            "HfHubHTTPError: 503 Server Error: Service Unavailable for url: https://huggingface.co",
            "infrastructure",
            "did not answer",
        ),
    ],
)
def test_a_run_that_ended_in_an_error(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path, seen: Seen,
    said: str, verdict: str, reason: str,
) -> None:  # fmt: skip
    account.command = breaks("Loading", f"\x1b[31m{said}\x1b[0m")
    run = wait_for(
        runs, kaggle, seen.collecting(tmp_path), submit(runs, kaggle, submission(tmp_path))
    )
    assert (run.state, run.verdict) == ("failed", verdict)
    assert run.reason and reason in run.reason and "\x1b" not in run.reason
    assert said in (runs.log(run.run_id) or "")
    assert seen.told_but_running == ["failed"] and account.kernels == {}


def test_what_the_database_cannot_keep_is_left_out(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path, seen: Seen
) -> None:
    model = trained(tmp_path / "model")
    (model / "metrics.json").write_text('{"state": "x", "loss": NaN, "a": ["\\u0000b\\ud800"]}')
    manifest.write(model, {"dataset_hash": "d" * 64})
    account.command = leaves(model, "one\0two \ud800")
    collecting = seen.collecting(tmp_path, score=lambda model, run: {})
    run = wait_for(runs, kaggle, collecting, submit(runs, kaggle, submission(tmp_path)))
    assert run.metrics == {"state": "x", "loss": None, "a": ["b?"]}
    assert runs.log(run.run_id) == "onetwo ?"
    account.command = breaks("Value\0Error \ud800")
    run = submit(runs, kaggle, submission(tmp_path, key="b"))
    run = wait_for(runs, kaggle, collecting, run)
    assert (run.state, run.reason) == ("failed", "ValueError ?")


def test_verdicts_go_by_the_end_of_the_log() -> None:
    early = ["Temporary failure in name resolution, tried again", *["step"] * 500, "ValueError: x"]
    assert verdict_of("", early) == ("failed", "ValueError: x")
    assert verdict_of("Kaggle infrastructure problem", [])[0] == "infrastructure"
    assert verdict_of("", [])[0] == "failed"
    assert len(verdict_of("", ["x" * 10_000])[1]) == 300


def test_one_that_was_cancelled_on_kaggle(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path, seen: Seen
) -> None:
    account.command, account.old_spelling = waits(), True
    run = submit(runs, kaggle, submission(tmp_path))
    account.kernels[run.slug].cancelled = True
    run = wait_for(runs, kaggle, seen.collecting(tmp_path), run)
    assert (run.state, run.verdict) == ("failed", "infrastructure")
    assert run.reason == "It was cancelled on Kaggle, by hand or by its time limit."


def test_statuses_that_cannot_be_read_are_counted_over_all_looks(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path, seen: Seen
) -> None:
    account.command = waits()
    run = submit(runs, kaggle, submission(tmp_path))
    collecting = seen.collecting(tmp_path)
    unreadable: list[Any] = [page(503), page(500), says(status="PAUSED")]  # one look
    for _ in range(2):
        account.faults["GetKernelSessionStatus"].extend(unreadable)
        [run] = collect(runs, kaggle, collecting)
    assert (run.state, run.unreadable) == ("submitted", 2)
    [run] = collect(runs, kaggle, collecting)
    assert (run.state, run.unreadable) == ("running", 0)
    for _ in range(3):
        account.faults["GetKernelSessionStatus"].extend(unreadable)
        [run] = collect(runs, kaggle, collecting)
    assert (run.state, run.verdict) == ("failed", "infrastructure")
    assert run.reason and run.reason.startswith("Its status could not be read 3 times in a row")
    assert account.kernels == {}


def test_a_kernel_that_cannot_be_seen_yet_and_one_that_is_gone(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path, seen: Seen
) -> None:
    account.command = waits()
    run = submit(runs, kaggle, submission(tmp_path))
    account.faults["GetKernelSessionStatus"].append(denied)
    assert collect(runs, kaggle, seen.collecting(tmp_path))[0].state == "submitted"
    kaggle.delete_kernel(run.slug)
    kaggle.patience = replace(kaggle.patience, appear_s=0)
    [run] = collect(runs, kaggle, seen.collecting(tmp_path))
    assert (run.state, run.verdict) == ("failed", "infrastructure")
    assert "deleted there" in (run.reason or "")


def test_one_that_never_ends(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path, seen: Seen
) -> None:
    account.command = waits()
    submit(runs, kaggle, submission(tmp_path))
    kaggle.patience = replace(kaggle.patience, whole_s=0)
    collect(runs, kaggle, seen.collecting(tmp_path))  # it starts
    [run] = collect(runs, kaggle, seen.collecting(tmp_path))
    assert (run.state, run.verdict) == ("failed", "infrastructure") and account.kernels == {}


def test_a_score_that_cannot_be_had_now(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path, seen: Seen
) -> None:
    away = [Unavailable("The judge is away.")] * 2

    def score(model: Path, run: Run) -> dict[str, float]:
        if away:
            raise away.pop()
        return {"bleu_4": 1.0}

    account.command = leaves(trained(tmp_path / "model"))
    collecting = seen.collecting(tmp_path, score=score)
    run = wait_for(runs, kaggle, collecting, submit(runs, kaggle, submission(tmp_path)))
    assert run.metrics and run.metrics["bleu_4"] == 1.0 and run.collections == 3
    assert account.count("ListKernelSessionOutput") == 1, "fetched once"
    away[:] = [Unavailable("The judge is away.")] * 5
    run = wait_for(runs, kaggle, collecting, submit(runs, kaggle, submission(tmp_path, key="b")))
    assert run.state == "succeeded" and run.metrics
    assert run.metrics["unfinished"] == "The judge is away." and "bleu_4" not in run.metrics


def test_of_each_state_once(
    database: str, runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path, seen: Seen
) -> None:
    """A notification that failed is sent by the next look, also of a run that has ended."""
    account.command = leaves(trained(tmp_path / "model"))
    run = submit(runs, kaggle, submission(tmp_path))  # nobody was told
    while run.state != "succeeded":
        [run] = collect(runs, kaggle, Collecting(tmp_path / "c"))
    change(database, "update runs set told = null")
    collect(runs, kaggle, seen.collecting(tmp_path))
    collect(runs, kaggle, seen.collecting(tmp_path))
    assert seen.told == ["succeeded"]


def test_a_submission_that_died_is_found_or_forsaken(
    database: str, runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path, seen: Seen
) -> None:
    account.command = waits()
    facts = {"dataset_hash": "d", "config": {}}
    for key in ("taken", "not taken", "prepared"):
        with held(runs, runs.open(key, **facts).run_id) as mine:  # type: ignore[arg-type]
            if key != "prepared":
                mine.move("push", pushes=1, pushed_at=datetime.now(UTC))
    taken = runs.find("taken")
    assert taken
    with pytest.raises(PushRefused, match="without its dataset"):
        kaggle.push(taken.slug, {"metadata": {"kernelspec": {"name": "x"}}, "cells": []}, limit_s=9)
    collecting = seen.collecting(tmp_path)
    states = {run.idempotency_key: run.state for run in collect(runs, kaggle, collecting)}
    assert states == {"taken": "running", "not taken": "pushing", "prepared": "preparing"}
    kaggle.patience = replace(kaggle.patience, appear_s=0)
    collect(runs, kaggle, collecting, only=runs.find("not taken"))
    assert runs.find("not taken").state == "preparing"  # type: ignore[union-attr]
    change(database, "update runs set changed_at = now() - interval '2 days'")
    collect(runs, kaggle, collecting)
    for key in ("not taken", "prepared"):
        run = runs.find(key)
        assert run and (run.state, run.verdict) == ("failed", "infrastructure")


def test_a_run_that_another_works_on_is_left_to_it(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path, seen: Seen
) -> None:
    account.command = waits()
    run = submit(runs, kaggle, submission(tmp_path))
    with held(runs, run.run_id):
        assert collect(runs, kaggle, seen.collecting(tmp_path)) == []
    assert "Another process works on" in seen.lines[-1]


def test_a_cancelled_run_is_swept_and_told(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path, seen: Seen
) -> None:
    account.command = waits()
    run = submit(runs, kaggle, submission(tmp_path))
    cancel(runs, run)
    collect(runs, kaggle, seen.collecting(tmp_path))
    assert account.kernels == {} == account.datasets and seen.told == ["cancelled"]
    with pytest.raises(Conflict):
        cancel(runs, run)


def test_a_clean_up_that_fails_is_done_by_the_next_look(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path, seen: Seen
) -> None:
    account.command = leaves(trained(tmp_path / "model"))
    account.faults["DeleteKernel"].append(says(errorMessage="Not now"))
    run = wait_for(
        runs, kaggle, seen.collecting(tmp_path), submit(runs, kaggle, submission(tmp_path))
    )
    assert run.state == "succeeded" and runs.get(run.run_id).cleaned_at is None
    assert list(account.kernels) == [run.slug]
    collect(runs, kaggle, seen.collecting(tmp_path))
    assert account.kernels == {} and runs.get(run.run_id).cleaned_at


def test_a_log_that_is_cut_is_told_line_by_line_once(
    runs: PgRuns, kaggle: Kaggle, account: State, tmp_path: Path
) -> None:
    account.command = waits()
    run = submit(runs, kaggle, submission(tmp_path))
    events = [f"data: {json.dumps({'data': line})}\n\n" for line in ("one\n", "tw", "o\n", "three")]

    lines: list[str] = []
    account.faults["GetKernelSessionLogsStream"].extend(
        [
            page(503),
            *(streamed("".join(events[:end])) for end in (1, 3)),
            streamed("".join(events) + "data: END_OF_LOG\n\n"),
        ]
    )
    kaggle.patience = replace(kaggle.patience, retries=1)
    follow(kaggle, run.slug, lines.append)
    assert lines == ["one", "two", "three"]
