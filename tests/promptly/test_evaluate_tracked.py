"""`promptly evaluate` with MLFLOW_TRACKING_URI: kept in a real server, at once or later."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.model_pipeline.evaluation.test_tracking import needs_server
from tests.promptly.evaluations import Evaluations, as_json, evaluations
from tests.servers.mlflow_server import mlflow_server
from tests.servers.ports import free_port

QUESTIONS = [
    {"id": "a", "question": "Where is the moon?", "answer": "It is in the sky."},
    {"id": "b", "question": "When does the shop open?", "answer": "It opens at nine."},
]
ANSWERS = [{"id": "a", "answer": "In the sky."}, {"id": "b", "answer": "At nine."}]
COMMAND = ("evaluate", "questions.jsonl", "--predictions", "answers.jsonl", "--json")


@pytest.fixture
def work(
    module_database: str, embedder: object, embedder_cache: Path, tmp_path: Path
) -> Evaluations:
    made = evaluations(tmp_path, module_database, embedder_cache)
    made.write("questions.jsonl", QUESTIONS)
    made.write("answers.jsonl", ANSWERS)
    return made


def kept(address: str) -> tuple[Any, list[Any]]:
    from mlflow import MlflowClient

    client: Any = MlflowClient(tracking_uri=address)
    found = client.get_experiment_by_name("promptly")
    return client, list(client.search_runs([found.experiment_id])) if found else []


def scorecards(database: str) -> int:
    with psycopg.connect(database) as connection:
        row = connection.execute("select count(*) from scorecards").fetchone()
    assert row
    return int(row[0])


@needs_server
def test_what_was_away_is_kept_by_running_the_same_again(work: Evaluations, tmp_path: Path) -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    before, started = scorecards(work.database), time.monotonic()
    done = work.run(*COMMAND, MLFLOW_TRACKING_URI=uri)
    assert time.monotonic() - started < 120
    card = as_json(done, 4)
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"Error: The tracking server {uri} did not take the evaluation")
    path = Path(card["files"]["scorecard"])
    scorecard = path.read_bytes()
    assert scorecards(work.database) == before + 1

    with mlflow_server(tmp_path, f"sqlite:///{tmp_path}/mlflow.db") as address:
        again = as_json(work.run(*COMMAND, MLFLOW_TRACKING_URI=address))
        assert again == card and path.read_bytes() == scorecard
        assert scorecards(work.database) == before + 1
        as_json(work.run(*COMMAND, MLFLOW_TRACKING_URI=address))
        client, (run,) = kept(address)  # the same again is the same run
        assert (run.info.status, run.info.run_name) == ("FINISHED", "answers")
        assert run.data.params == {"predictions": "answers.jsonl", "seed": "0", "draws": "2000"}
        figures = {name: one["value"] for name, one in card["figures"].items()}
        measured = {name: one for name, one in figures.items() if one is not None}
        assert run.data.metrics == pytest.approx(measured) and len(measured) > 15
        assert "ndcg_10" in run.data.tags["not_measured"]
        assert run.data.tags["test_set_hash"] == card["test_set_hash"]
        (given,) = run.inputs.dataset_inputs
        assert given.dataset.name == "questions"
        assert json.loads(given.dataset.source)["tags"]["sha256"] == card["test_set_hash"]
        names = {one.path for one in client.list_artifacts(run.info.run_id)}
        assert names == {"scorecard.json", "report.html", "report.md", "test_set.jsonl"}
        back = client.download_artifacts(run.info.run_id, "scorecard.json", str(tmp_path))
        assert Path(back).read_bytes() == scorecard
        rows = Path(client.download_artifacts(run.info.run_id, "test_set.jsonl", str(tmp_path)))
        assert [json.loads(row)["id"] for row in rows.read_text().splitlines()] == ["a", "b"]


def test_what_is_no_server_is_told_before_anything_is_asked(work: Evaluations) -> None:
    done = work.run(*COMMAND, MLFLOW_TRACKING_URI="nonsense://x")
    assert (done.returncode, done.stdout) == (2, "")
    assert "MLFLOW_TRACKING_URI is no address of a server" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not (work.folder / "home" / "evaluations").exists()
