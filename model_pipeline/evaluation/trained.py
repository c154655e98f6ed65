"""Keeps training runs in MLflow: configuration, loss by step, figures and lineage."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_pipeline.evaluation.tracking import AT_ONCE, open_client, tracking_errors

EXPERIMENT = "promptly-training"
KEY = "promptly.run_id"
LONGEST_PARAMETER = 500


@dataclass(frozen=True, slots=True)
class Trained:
    """`losses` are rows with their `step`; `metrics` and `params` may be nested."""

    run_id: str
    params: Mapping[str, Any]
    metrics: Mapping[str, Any]
    losses: Sequence[Mapping[str, Any]] = ()
    tags: Mapping[str, str] | None = None
    artifacts: Sequence[Path] = ()


def keep_trained(uri: str, trained: Trained) -> str:
    """Returns the id of the MLflow run that holds it; the same again changes nothing, and what was
    interrupted is completed. Raises Unavailable, ConfigurationError."""
    client = open_client(uri)
    with tracking_errors(uri, "the training run"):
        experiment = client.get_experiment_by_name(EXPERIMENT)
        experiment_id = (
            experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT)
        )
        found = client.search_runs(
            [experiment_id], f"tags.`{KEY}` = '{trained.run_id}'", max_results=1
        )
        run = found[0] if found else client.create_run(
            experiment_id, run_name=trained.run_id[:8], tags={KEY: trained.run_id}
        )  # fmt: skip
        if run.info.status != "FINISHED":
            _fill(client, run.info.run_id, run.info.start_time, trained)
            client.set_terminated(run.info.run_id, "FINISHED")
        return str(run.info.run_id)


def _fill(client: Any, run_id: str, at: int, trained: Trained) -> None:
    from mlflow.entities import Metric, Param, RunTag

    params = [Param(name, str(value)[:LONGEST_PARAMETER]) for name, value in _flat(trained.params)]
    metrics = [Metric(name, value, at, 0) for name, value in _numbers(trained.metrics)]
    for row in trained.losses:
        metrics += [
            Metric(name, value, at, int(row["step"]))
            for name, value in _numbers(row)
            if name != "step"
        ]
    tags = [RunTag(name, value) for name, value in (trained.tags or {}).items()]
    for kind, entities in (("params", params), ("metrics", metrics), ("tags", tags)):
        size = AT_ONCE[kind]
        for first in range(0, len(entities), size):
            client.log_batch(run_id, **{kind: entities[first : first + size]})
    for path in trained.artifacts:
        client.log_artifact(run_id, str(path))


def read_losses(path: Path) -> list[dict[str, Any]]:
    """log.jsonl of a fine-tune; what is no row of it is left out."""
    rows = []
    for line in path.read_text("utf-8", "replace").splitlines() if path.is_file() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and type(row.get("step")) is int:
            rows.append(row)
    return rows


def _numbers(given: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in _flat(given):
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield name, float(value)


def _flat(given: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in given.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value
