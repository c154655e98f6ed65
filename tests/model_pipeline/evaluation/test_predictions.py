"""Predictions as rows: kept as they come, gone on with after a kill, and bad ones named."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from model_pipeline.errors import Conflict, InvalidInput
from model_pipeline.evaluation.examples import Prediction, Quoted, Retrieved
from model_pipeline.evaluation.predictions import parse, prediction_log, read_predictions, to_row

HEAD = {"release_id": "r1", "test_set_hash": "h1"}
NOW = "2026-01-31T12:00:00+00:00"
WHOLE = Prediction(
    "a",
    "It opens at nine.",
    passages=(Retrieved("hours.md", "The shop opens at nine."),),
    citations=(Quoted("hours.md", "opens at nine"),),
    latency_ms=12.5,
)


def test_what_a_prediction_writes_it_reads() -> None:
    for one in (WHOLE, Prediction("b", declined=True), Prediction("c", error="It broke.")):
        assert parse(json.loads(json.dumps(to_row(one)))) == one


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ({}, "The prediction has no answer."),
        ({"answer": None}, "The prediction has no answer."),
        ({"answer": float("nan")}, "The prediction's answer is no text but NaN."),
        ({"answer": ["x"]}, "The prediction's answer is no text but list."),
        ({"answer": "x" * 5_000_001}, "The answer has over 5,000,000 characters."),
        ({"answer": "x", "passages": "p"}, "The prediction's passages are no list."),
        ({"answer": "x", "citations": [{"quote": "q"}]}, "A citation of the prediction has no so"),
        ({"answer": "x", "error": "Timed out."}, "Timed out."),
    ],
)
def test_a_row_that_holds_no_answer_is_a_failure_by_name(row: Any, error: str) -> None:
    found = parse({"id": "a", **row})
    assert (found.error or "").startswith(error)


def test_what_is_no_answer_but_meant() -> None:
    assert parse({"id": 5, "declined": True}) == Prediction("5", declined=True)
    assert parse({"id": "a", "answer": ""}) == Prediction("a", "")
    assert parse({"id": "a", "answer": "x", "passages": ["s1"]}).passages == (Retrieved("s1", ""),)
    big = parse({"id": "a", "answer": "x" * 1_000_000})
    assert big.error is None and len(big.answer) == 1_000_000


@pytest.mark.parametrize("latency", [float("nan"), float("inf"), -1, "12", True])
def test_a_latency_that_is_none_is_the_measures_to_name(latency: Any) -> None:
    found = parse({"id": "a", "answer": "x", "latency_ms": latency})
    assert found.error is None and found.answer == "x"
    assert found.latency_ms is not None and not math.isfinite(found.latency_ms)


@pytest.mark.parametrize("row", [{"answer": "x"}, {"id": None}, {"id": float("nan")}, [], "x"])
def test_a_row_without_an_id_makes_the_file_bad(tmp_path: Path, row: Any) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"id": "a", "answer": "x"}) + "\n" + json.dumps(row) + "\n")
    with pytest.raises(InvalidInput, match=r"p\.jsonl, row 2: A prediction"):
        read_predictions(path)
    path.write_text("\n")
    with pytest.raises(InvalidInput, match="holds no predictions"):
        read_predictions(path)


def test_a_runs_file_is_read_as_predictions(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    with prediction_log(path, HEAD, started_at=NOW) as log:
        log.add(WHOLE)
    assert read_predictions(path) == ([WHOLE], "r1")


def test_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "p.jsonl"
    with prediction_log(path, HEAD, started_at=NOW) as log:
        log.add(WHOLE)
        log.add(Prediction("b", "Two."))
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"id": "c", "answer": "cut')
    with prediction_log(path, HEAD, started_at="later") as log:
        assert log.done == {"a": WHOLE, "b": Prediction("b", "Two.")}
        assert log.started_at == NOW
        log.add(Prediction("c", "Three."))
    found, _ = read_predictions(path)
    assert [one.example_id for one in found] == ["a", "b", "c"]
    path.write_bytes(whole.rstrip(b"\n"))  # whole but for its end: nobody knows
    with prediction_log(path, HEAD, started_at=NOW) as log:
        assert list(log.done) == ["a"]


def test_anothers_file_is_refused_and_left(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    with prediction_log(path, HEAD, started_at=NOW) as log:
        log.add(WHOLE)
    before = path.read_bytes()
    for head, what in ((HEAD | {"release_id": "r2"}, "release id"),
                       (HEAD | {"test_set_hash": "h2"}, "test set hash")):  # fmt: skip
        with (
            pytest.raises(InvalidInput, match=f"another {what}"),
            prediction_log(path, head, started_at=NOW),
        ):
            raise AssertionError
    assert path.read_bytes() == before
    for content in (b'{"id": "a", "answer": "x"}\n', b"not JSON\n", b"[]\n"):
        path.write_bytes(content)
        with (
            pytest.raises(InvalidInput, match="is no file of a run"),
            prediction_log(path, HEAD, started_at=NOW),
        ):
            raise AssertionError
        assert path.read_bytes() == content


def test_two_runs_do_not_write_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    with (
        prediction_log(path, HEAD, started_at=NOW),
        pytest.raises(Conflict, match="Another run"),
        prediction_log(path, HEAD, started_at=NOW),
    ):
        raise AssertionError


KILLED = """
import sys
from pathlib import Path
from model_pipeline.evaluation.examples import Prediction
from model_pipeline.evaluation.predictions import prediction_log
with prediction_log(Path(sys.argv[1]), {}, started_at="now") as log:
    for n in range(10**9):
        log.add(Prediction(str(n), "x" * 100))
"""


def test_a_killed_run_loses_its_last_batch_at_most(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(path)]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(Path.cwd())}) as process:
        deadline = time.monotonic() + 60
        while not (path.exists() and path.stat().st_size > 10_000) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    with prediction_log(path, {}, started_at="later") as log:
        assert len(log.done) >= 60
        assert list(log.done) == [str(n) for n in range(len(log.done))]
        assert log.started_at == "now"
