"""Builds what submits training runs, collects them, and does with them what is wished."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from model_pipeline.errors import ConfigurationError, InvalidInput, Unavailable
from model_pipeline.store.connect import open_pool
from model_pipeline.store.runs import PgRuns, Run, short
from promptly import bootstrap
from promptly.notifying import notify
from promptly.settings import Settings
from training import manifest
from training.kaggle import wheel
from training.kaggle.client import Kaggle
from training.kaggle.collect import Metrics
from training.kaggle.resume import MODEL
from training.kaggle.wire import Patience

NOTEBOOK = "promptly-finetuning.ipynb"
LARGEST_NOTEBOOK = 2**20  # bytes: Kaggle's own limit
SCORING_S = 5 * 3600
TOLD = {
    "submitted": "started",
    "succeeded": "succeeded",
    "stopped": "came to its time limit and can go on",
    "cancelled": "was cancelled",
}


@contextmanager
def training_runs(settings: Settings) -> Iterator[PgRuns]:
    with (
        bootstrap.database(settings) as conninfo,
        open_pool(conninfo, min_size=1, max_size=4) as pool,
    ):
        yield PgRuns(pool)


def kaggle(settings: Settings) -> Kaggle:
    token, key = settings.kaggle_token, settings.kaggle_key
    return Kaggle(
        token=token.get_secret_value() if token else None,
        username=settings.kaggle_username,
        key=key.get_secret_value() if key else None,
        patience=Patience(poll_s=settings.kaggle_poll_s),
    )


def read_notebook(path: Path | None) -> dict[str, Any]:
    """That one, or the one that is shipped. Raises InvalidInput, ConfigurationError."""
    path = path or _shipped_notebook()
    try:
        if path.stat().st_size > LARGEST_NOTEBOOK:
            raise InvalidInput(f"{path} is larger than Kaggle takes (1 MB): clear its outputs.")
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise InvalidInput(f"{path} is no notebook: it is not JSON.") from error
    if not isinstance(found, dict) or not isinstance(found.get("cells"), list):
        raise InvalidInput(f"{path} is no notebook: it has no cells.")
    return found


def _shipped_notebook() -> Path:
    places = (
        Path(wheel.__file__).with_name(NOTEBOOK),
        wheel.CHECKOUT / "notebooks" / NOTEBOOK,
    )
    for path in places:
        if path.is_file():
            return path
    raise ConfigurationError(f"{NOTEBOOK} is not installed: name a notebook by --notebook.")


def tell_people(settings: Settings, run: Run) -> None:
    """Of a run's start and end. What Kaggle did and what the run did are told apart."""
    what = TOLD.get(run.state)
    if run.verdict == "infrastructure":
        what = "was let down by its infrastructure, and may be resumed"
    elif run.verdict == "failed":
        what = "failed"
    if what is None:
        return
    lines = [f"Training data {run.dataset_hash[:12]}, commit {(run.git_commit or 'unknown')[:12]}."]
    if run.reason:
        lines.insert(0, run.reason)
    notify(settings, f"Training run {short(run.run_id)} {what}", "\n".join(lines),
           good=run.verdict is None)  # fmt: skip


class Scoring:
    """Scores what a run made as a release is scored: `promptly evaluate` in a process of its own,
    whose memory goes with it."""

    def __init__(self, settings: Settings, test_set: str, *, collection: str | None) -> None:
        """Raises NotFound, InvalidInput where there is no such test set: that is told before a run
        is waited for."""
        require_test_set(settings, test_set)
        self._settings = settings
        self._test_set = test_set
        self._collection = collection

    def __call__(self, model: Path, run: Run) -> Metrics:
        """Raises Unavailable where it cannot be done now."""
        folder = model.parent / "evaluation"
        command = [
            sys.executable, "-m", "promptly", "evaluate", "run", self._test_set, "--json",
            "--out", str(folder),
        ]  # fmt: skip
        if self._collection:
            command += ["--collection", self._collection]
        environment = {
            **os.environ,
            "PROMPTLY_HOME": str(self._settings.home),
            "PROMPTLY_GENERATOR": generator_of(model),
        }
        try:
            done = subprocess.run(  # noqa: S603 - our own arguments
                command, env=environment, capture_output=True, text=True, check=False,
                timeout=SCORING_S,
            )  # fmt: skip
            found = json.loads(done.stdout)
        except (subprocess.TimeoutExpired, ValueError) as error:
            said = "" if isinstance(error, subprocess.TimeoutExpired) else done.stderr.strip()
            raise Unavailable(
                f"Run {short(run.run_id)} could not be scored on {self._test_set}: "
                f"{said.splitlines()[-1] if said else 'it took too long.'}"
            ) from error
        figures = {name: one["value"] for name, one in found["figures"].items()}
        return {"scorecard": {"test_set": found["test_set"], "failed": found["failed"], **figures}}


def require_test_set(settings: Settings, name: str) -> None:
    from model_pipeline.evaluation.rows import read_examples
    from promptly.evaluating import evaluating

    if Path(name).suffix in (".jsonl", ".json", ".ndjson"):
        read_examples(Path(name))
        return
    with evaluating(settings) as opened:
        opened.test_sets.load(name)


def generator_of(model: Path) -> str:
    """As PROMPTLY_GENERATOR names it: its base with its adapter."""
    facts = manifest.read(model)
    revision = facts.get("base_revision")
    base = f"{facts['base_model']}@{revision}" if revision else facts["base_model"]
    return f"transformers:{base}+{model / 'adapter'}"


def track(settings: Settings, model: Path, run: Run, metrics: Mapping[str, Any]) -> None:
    """In MLflow, where a server is named."""
    if settings.tracking_uri is None:
        return
    from model_pipeline.evaluation.trained import Trained, keep_trained, read_losses

    tags = {
        "dataset_hash": run.dataset_hash,
        "git_commit": run.git_commit or "unknown",
        "slug": run.slug,
        "resumes": str(run.resumes or ""),
    }
    files = [model / name for name in ("manifest.json", "metrics.json")]
    keep_trained(
        settings.tracking_uri,
        Trained(
            str(run.run_id), run.config, metrics, read_losses(model / "log.jsonl"), tags,
            [path for path in files if path.is_file()],
        ),
    )  # fmt: skip


def place_of(settings: Settings, run: Run) -> Path:
    """Where it was collected."""
    return settings.runs_dir / str(run.run_id)


def model_of(settings: Settings, run: Run) -> Path:
    return place_of(settings, run) / MODEL


def publish(settings: Settings, repo: str, model: Path, run: Run) -> str:
    """The name of the version that it is on the Hub; the same again is the same version."""
    from promptly import publishing
    from training.hub.publish import publish as publish_version

    scorecard = model.parent / "evaluation" / "scorecard.json"
    facts = publishing.card_facts(
        license=None, language=None, scorecard=scorecard if scorecard.is_file() else None,
        bias_report=None, data=None,
    )  # fmt: skip
    hub = publishing.hub(settings, lambda _: None)
    with publishing.versions(settings) as records:
        made = publish_version(model, repo, hub, kind="adapter", card=facts)
        records.record(made.version, reason=f"training run {short(run.run_id)}", by="promptly")
    return made.version.name
