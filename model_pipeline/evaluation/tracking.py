"""Keeps evaluations in MLflow where a tracking server is named, and nowhere else where none is.

The only module that imports mlflow; others get its client here. The folder `mlflow/` beside the
packages makes `import mlflow` succeed as an empty namespace where the package is not installed:
what is installed is asked for.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from model_pipeline.errors import ConfigurationError, Unavailable
from model_pipeline.evaluation.examples import TestSet

T = TypeVar("T")
PACKAGES = ("mlflow-skinny", "mlflow")
KEY = "promptly.key"
HASH = "test_set_hash"
NOT_MEASURED = "not_measured"
TEST_SET_FILE = "test_set.jsonl"
DIGEST = 36  # characters of a data set's digest that MLflow keeps
AT_ONCE = {"params": 100, "tags": 100, "metrics": 1000}  # of one request to MLflow
AWAY = re.compile(r"API request to \S+ failed with (?:timeout )?exception ")
# What the library reads in the environment, unless somebody has set it there: nothing is told to
# MLflow's makers, nothing printed between results, and a server that is away is told within a
# minute (by default 120 s and seven times, with minutes in between).
MANNERS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What is kept of one evaluation. A metric that is not finite is named as not measured."""

    release_id: str
    test_set: TestSet
    metrics: Mapping[str, float]
    params: Mapping[str, str | int | float | bool | None]
    artifacts: Sequence[Path] = ()

    def key(self) -> str:
        """sha256 (hex) over all of it: of two that are equal, only one is kept."""
        known = {name: repr(value) for name, value in self.metrics.items()}
        given = {name: str(value) for name, value in self.params.items()}
        said = [self.release_id, self.test_set.name, self.test_set.content_hash(), known, given]
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
        for path in sorted(self.artifacts, key=lambda one: one.name):
            digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()


class Tracker(Protocol):
    def keep(self, evaluated: Evaluated) -> str | None:
        """Returns the id of the MLflow run that holds it. Raises Unavailable."""


class NoTracker:
    """Where no server is named."""

    def keep(self, evaluated: Evaluated) -> str | None:
        return None


class MlflowTracker:
    """Made by `open_tracker`. A run is of one key: what is kept already is not kept twice, and what
    was interrupted is completed."""

    def __init__(self, uri: str, experiment: str) -> None:
        self._client: Any = open_client(uri)
        self._experiment = experiment
        self._uri = uri

    def keep(self, evaluated: Evaluated) -> str:
        with tracking_errors(self._uri, "the evaluation"):
            return self._keep(evaluated)

    def _keep(self, evaluated: Evaluated) -> str:
        key = evaluated.key()
        experiment_id = _twice(self._experiment_id)
        found = self._client.search_runs(
            [experiment_id], f"tags.`{KEY}` = '{key}'", order_by=["start_time ASC"], max_results=1
        )
        run = (
            found[0]
            if found
            else self._client.create_run(
                experiment_id, run_name=evaluated.release_id, tags={KEY: key}
            )
        )
        run_id = str(run.info.run_id)
        if run.info.status != "FINISHED":
            self._fill(run_id, run.info.start_time, evaluated)
            self._client.set_terminated(run_id, "FINISHED")
        return run_id

    def _experiment_id(self) -> str:
        found = self._client.get_experiment_by_name(self._experiment)
        if found is not None:
            return str(found.experiment_id)
        return str(self._client.create_experiment(self._experiment))

    def _fill(self, run_id: str, timestamp: int, evaluated: Evaluated) -> None:
        """The same again changes nothing: metrics have the run's own time, files their names."""
        from mlflow.entities import Metric, Param, RunTag

        test_set = evaluated.test_set
        finite = {name: one for name, one in evaluated.metrics.items() if math.isfinite(one)}
        missing = ", ".join(sorted(evaluated.metrics.keys() - finite.keys()))
        tags = {
            "release_id": evaluated.release_id,
            "test_set": test_set.name,
            HASH: test_set.content_hash(),
            **({NOT_MEASURED: missing} if missing else {}),
        }
        batches: Mapping[str, list[Any]] = {
            "params": [Param(name, str(one)) for name, one in evaluated.params.items()],
            "tags": [RunTag(name, one) for name, one in tags.items()],
            "metrics": [Metric(name, one, timestamp, 0) for name, one in finite.items()],
        }
        for kind, entities in batches.items():
            for few in _few(entities, AT_ONCE[kind]):
                self._client.log_batch(run_id, **{kind: few})
        given = [_data_set(test_set)]
        _twice(lambda: self._client.log_inputs(run_id, datasets=given))
        rows = (json.dumps(one.to_row(), ensure_ascii=True) for one in test_set.examples)
        self._client.log_text(run_id, "\n".join(rows) + "\n", TEST_SET_FILE)
        for path in evaluated.artifacts:
            self._client.log_artifact(run_id, str(path))


def open_tracker(uri: str | None, *, experiment: str = "promptly") -> Tracker:
    """Keeps nothing where `uri` is None. Raises ConfigurationError where mlflow is missing, or does
    not take `uri` for a server's."""
    return NoTracker() if uri is None else MlflowTracker(uri, experiment)


def open_client(uri: str) -> Any:
    """MLflow's client, mannered. Raises ConfigurationError as `open_tracker` does."""
    if not any(_installed(package) for package in PACKAGES):
        raise ConfigurationError(
            "A tracking server is set, but MLflow's client is not installed: "
            "`pip install 'promptly-rag[tracking]'`, or unset MLFLOW_TRACKING_URI."
        )
    for name, value in MANNERS.items():
        os.environ.setdefault(name, value)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it tells of each attempt
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        return MlflowClient(tracking_uri=uri)
    except MlflowException as error:
        raise ConfigurationError(
            f"MLFLOW_TRACKING_URI is no address of a server, such as http://127.0.0.1:5000: "
            f"{_first_line(error)}"
        ) from error


@contextmanager
def tracking_errors(uri: str, what: str) -> Iterator[None]:
    """What goes wrong in here is that the server did not take `what`."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    try:
        yield
    except (MlflowException, RequestException) as error:
        told = (
            f"The tracking server {uri} did not take {what}, which can be kept by running the same "
            f"again: {_first_line(error)}"
        )
        password = urlsplit(uri).netloc.rpartition("@")[0]
        raise Unavailable(told.replace(f"{password}@", "") if password else told) from error


def _first_line(error: Exception) -> str:
    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    return "it cannot be reached." if AWAY.match(said) else said[:300]


def _twice(call: Callable[[], T]) -> T:
    """What the server makes where it is missing fails where another makes it at the same moment,
    and is there when asked again."""
    from mlflow.exceptions import MlflowException

    try:
        return call()
    except MlflowException:
        return call()


def _installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def _data_set(test_set: TestSet) -> Any:
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.entities import Dataset, DatasetInput, InputTag

    whole = test_set.content_hash()
    known = {"sha256": whole, "examples": len(test_set.examples), "artifact": TEST_SET_FILE}
    made: Any = MetaDataset  # typed as if it could not be made
    given = made(CodeDatasetSource(known), name=test_set.name, digest=whole[:DIGEST])
    purpose = InputTag("mlflow.data.context", "evaluation")
    return DatasetInput(Dataset(**given.to_dict()), [purpose])


def _few(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (values[first : first + size] for first in range(0, len(values), size))
