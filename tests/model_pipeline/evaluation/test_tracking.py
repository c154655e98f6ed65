"""Evaluations kept in a real MLflow server, and read back by its own client."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from model_pipeline.errors import ConfigurationError, Unavailable
from model_pipeline.evaluation.examples import Example, TestSet
from model_pipeline.evaluation.tracking import Evaluated, NoTracker, open_tracker
from model_pipeline.evaluation.trained import Trained, keep_trained, read_losses
from model_pipeline.release.registry import open_registry
from model_pipeline.store.versions import ModelVersion
from tests.servers.mlflow_server import PROGRAMS, PROJECT, mlflow_server

EXAMPLES = TestSet("shop", (Example("a", "Who?", references=("Zoë",)), Example("b", "When?")))
METRICS = {"bleu_4": 0.25, "latency_p50_ms": 31.5, "perplexity": math.nan, "ratio": math.inf}

needs_server = pytest.mark.skipif(
    not (PROGRAMS.parent / ".done").is_file(),
    reason="the MLflow server is not installed: make test installs it",
)


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mlflow")
    with mlflow_server(folder, f"sqlite:///{folder}/mlflow.db") as address:
        yield address


@pytest.fixture
def evaluated(tmp_path: Path) -> Evaluated:
    report = tmp_path / "scorecard.json"
    report.write_text('{"bleu_4": 0.25}', encoding="utf-8")
    return Evaluated("extractive", EXAMPLES, METRICS, {"k": 5, "seed": 0, "model": None}, [report])


def client(address: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=address)


def runs(address: str, experiment: str) -> list[Any]:
    mlflow = client(address)
    found = mlflow.get_experiment_by_name(experiment)
    return list(mlflow.search_runs([found.experiment_id]))


@needs_server
def test_what_is_kept_is_read_back(tracking: str, evaluated: Evaluated, tmp_path: Path) -> None:
    run_id = open_tracker(tracking, experiment="kept").keep(evaluated)
    (run,) = runs(tracking, "kept")
    assert (run.info.run_id, run.info.status) == (run_id, "FINISHED")
    assert run.info.run_name == "extractive"
    assert run.data.metrics == {"bleu_4": 0.25, "latency_p50_ms": 31.5}
    assert run.data.params == {"k": "5", "seed": "0", "model": "None"}
    assert run.data.tags["not_measured"] == "perplexity, ratio"
    assert run.data.tags["test_set_hash"] == EXAMPLES.content_hash()
    (given,) = run.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("shop", EXAMPLES.content_hash()[:36])
    assert json.loads(given.dataset.source)["tags"]["sha256"] == EXAMPLES.content_hash()
    assert {tag.key: tag.value for tag in given.tags} == {"mlflow.data.context": "evaluation"}
    mlflow = client(tracking)
    card = Path(mlflow.download_artifacts(run_id, "scorecard.json", str(tmp_path / "back")))
    assert card.read_text(encoding="utf-8") == '{"bleu_4": 0.25}'
    rows = Path(mlflow.download_artifacts(run_id, "test_set.jsonl", str(card.parent)))
    lines = rows.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [one.to_row() for one in EXAMPLES.examples]


def version(n: int) -> ModelVersion:
    return ModelVersion("me/answers", f"v{n}", f"{n:040x}", "merged", None, f"{n:064x}", None)


@needs_server
def test_the_alias_of_what_is_in_production(tracking: str) -> None:
    """model_pipeline/release/registry.py: here, since the server takes its time to start."""
    registry = open_registry(tracking)
    for n in (1, 2, 1, 1):
        registry.point(version(n), "production")
    found = client(tracking).get_model_version_by_alias("me--answers", "production")
    assert found.tags["promptly.commit"] == version(1).commit
    assert found.source == f"hf://me/answers@{version(1).commit}"
    assert found.description == version(1).generator
    assert len(client(tracking).search_model_versions("name = 'me--answers'")) == 2


@needs_server
def test_the_same_again_is_the_same_run_and_anything_else_another(
    tracking: str, evaluated: Evaluated
) -> None:
    first = open_tracker(tracking, experiment="again").keep(evaluated)
    assert open_tracker(tracking, experiment="again").keep(evaluated) == first
    others = [
        replace(evaluated, metrics={**METRICS, "bleu_4": 0.26}),
        replace(evaluated, params={"k": 6}),
        replace(evaluated, release_id="other"),
        replace(evaluated, test_set=TestSet("shop", EXAMPLES.examples[:1])),
    ]
    kept = {open_tracker(tracking, experiment="again").keep(one) for one in others}
    assert len(kept | {first}) == 5 == len(runs(tracking, "again"))
    evaluated.artifacts[0].write_text("{}", encoding="utf-8")
    assert open_tracker(tracking, experiment="again").keep(evaluated) not in kept | {first}


@needs_server
def test_what_was_interrupted_is_completed(tracking: str, evaluated: Evaluated) -> None:
    lost = evaluated.artifacts[0].with_name("report.html")
    lost.write_text("<p>", encoding="utf-8")
    missing = replace(evaluated, artifacts=[evaluated.artifacts[0], lost])
    key = missing.key()
    mlflow = client(tracking)
    begun = mlflow.create_run(mlflow.create_experiment("cut"), tags={"promptly.key": key})
    mlflow.log_metric(begun.info.run_id, "bleu_4", 0.25, begun.info.start_time, 0)
    mlflow.log_param(begun.info.run_id, "k", "5")
    assert open_tracker(tracking, experiment="cut").keep(missing) == begun.info.run_id
    (run,) = runs(tracking, "cut")
    assert run.info.status == "FINISHED" and run.data.metrics["latency_p50_ms"] == 31.5
    assert len(mlflow.get_metric_history(run.info.run_id, "bleu_4")) == 1
    names = {one.path for one in mlflow.list_artifacts(run.info.run_id)}
    assert names == {"scorecard.json", "report.html", "test_set.jsonl"}


@needs_server
def test_more_than_one_request_holds(tracking: str, evaluated: Evaluated) -> None:
    metrics = {f"slice_{n}": n / 7 for n in range(1500)}
    params = {f"p{n}": n for n in range(250)}
    open_tracker(tracking, experiment="many").keep(
        replace(evaluated, metrics=metrics, params=params)
    )
    (run,) = runs(tracking, "many")
    assert run.data.metrics == pytest.approx(metrics)
    assert run.data.params == {name: str(value) for name, value in params.items()}


@needs_server
def test_two_at_once_share_the_experiment(tracking: str, evaluated: Evaluated) -> None:
    several = [replace(evaluated, params={"k": k}) for k in range(4)]
    with ThreadPoolExecutor(4) as threads:
        found = set(
            threads.map(lambda one: open_tracker(tracking, experiment="both").keep(one), several)
        )
    assert len(found) == 4 == len(runs(tracking, "both"))


@needs_server
def test_a_refusal_is_one_sentence(tracking: str, evaluated: Evaluated) -> None:
    with pytest.raises(Unavailable, match="did not take the evaluation") as raised:
        open_tracker(tracking, experiment="x").keep(replace(evaluated, metrics={"no!": 1.0}))
    assert "\n" not in raised.value.message


@needs_server
def test_postgres_keeps_it_as_in_the_compose_file(
    database: str, evaluated: Evaluated, tmp_path: Path
) -> None:
    """In a database of its own: MLflow and Promptly both have a table `jobs`."""
    name = f"mlflow_{uuid4().hex}"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    known = psycopg.conninfo.conninfo_to_dict(database) | {"dbname": name}
    query = f"?host={known['host']}" + (f"&port={known['port']}" if "port" in known else "")
    backend = f"postgresql+psycopg://{known['user']}@/{name}{query}"
    with mlflow_server(tmp_path, backend) as address:
        run_id = open_tracker(address).keep(evaluated)
        assert [run.info.run_id for run in runs(address, "promptly")] == [run_id]
    with psycopg.connect(**known) as connection:
        found = connection.execute("select run_uuid, status from runs").fetchall()
    assert found == [(run_id, "FINISHED")]


def test_a_server_that_is_away_is_told_soon_and_without_its_password(
    evaluated: Evaluated,
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://ada:secret@127.0.0.1:{free.getsockname()[1]}"
    started = time.monotonic()
    with pytest.raises(Unavailable, match=r"server http://127\.0\.0\.1") as raised:
        open_tracker(address).keep(evaluated)
    assert "secret" not in raised.value.message
    assert raised.value.message.endswith("by running the same again: it cannot be reached.")
    assert time.monotonic() - started < 60


@pytest.mark.parametrize("uri", ["nonsense://x", "runs"])
def test_what_is_no_server_is_told_at_once(uri: str) -> None:
    with pytest.raises(ConfigurationError, match="no address of a server") as raised:
        open_tracker(uri)
    assert "\n" not in raised.value.message


def test_without_a_server_nothing_is_kept(evaluated: Evaluated) -> None:
    tracker = open_tracker(None)
    assert isinstance(tracker, NoTracker) and tracker.keep(evaluated) is None


def test_a_namespace_is_not_taken_for_mlflow() -> None:
    """Where the package is missing, `import mlflow` finds our folder and succeeds."""
    program = (
        "import mlflow; assert mlflow.__file__ is None\n"
        "from model_pipeline.evaluation.tracking import open_tracker\n"
        "open_tracker('http://127.0.0.1:1')\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],  # the standard library and this folder alone
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    last = done.stderr.splitlines()[-1]
    assert "ConfigurationError: A tracking server is set, but MLflow's client" in last


@needs_server
def test_a_training_run_is_kept_once_with_its_losses_by_step(tracking: str, tmp_path: Path) -> None:
    rows = ['{"step": 1, "loss": 2.0}', "nonsense", "[1]", '{"step": 2, "loss": 1.5}']
    (tmp_path / "log.jsonl").write_text("\n".join(rows))
    (tmp_path / "metrics.json").write_text("{}")
    trained = Trained(
        run_id=uuid4().hex,
        params={"rank": 4, "base_model": "b" * 600},
        metrics={"state": "finished", "generation": {"after": {"bleu_4": 0.25, "nan": math.nan}}},
        losses=read_losses(tmp_path / "log.jsonl"),
        tags={"dataset_hash": "d" * 64},
        artifacts=[tmp_path / "metrics.json"],
    )
    kept = keep_trained(tracking, trained)
    assert keep_trained(tracking, trained) == kept
    run = client(tracking).get_run(kept)
    assert run.info.status == "FINISHED" and run.data.tags["dataset_hash"] == "d" * 64
    assert run.data.params == {"rank": "4", "base_model": "b" * 500}
    assert run.data.metrics["generation.after.bleu_4"] == 0.25
    assert "generation.after.nan" not in run.data.metrics and "state" not in run.data.metrics
    losses = client(tracking).get_metric_history(kept, "loss")
    assert [(one.step, one.value) for one in losses] == [(1, 2.0), (2, 1.5)]
    assert [one.path for one in client(tracking).list_artifacts(kept)] == ["metrics.json"]


def test_a_log_that_is_not_there_has_no_losses(tmp_path: Path) -> None:
    assert read_losses(tmp_path / "none") == []
