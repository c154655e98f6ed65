"""Goes on from a run that has ended: from its checkpoints where it left any, else from the start,
with what it was given."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model_pipeline.errors import Conflict, InvalidInput
from model_pipeline.store.runs import PgRuns, Run, short
from training.config import FinetuneConfig
from training.kaggle.submit import CHECKPOINTS, Submission, require_data

SUBMITTED, MODEL = "submitted", "model"


def resumable(run: Run) -> bool:
    """Whether the same again may come further."""
    return run.state == "stopped" or run.verdict == "infrastructure"


def submission_after(run: Run, place: Path, notebook: Mapping[str, Any]) -> Submission:
    """Of the one run that goes on from this one; `place` is where it was collected. Raises
    Conflict where nothing goes on from it, InvalidInput where what it needs is not there."""
    if not resumable(run):
        raise Conflict(
            f"Run {short(run.run_id)} is {run.state}: only one that was stopped or failed by its "
            "infrastructure goes on. Submit it anew with another --key."
        )
    given, checkpoints = place / SUBMITTED, place / MODEL / CHECKPOINTS
    if not (given / "manifest.json").is_file():
        raise InvalidInput(
            f"{given} is not there: run {short(run.run_id)} was collected elsewhere. Copy what "
            "`promptly train collect` wrote there, or submit it anew with another --key."
        )
    if run.state == "stopped" and not checkpoints.is_dir():
        raise InvalidInput(f"{checkpoints} is not there: copy it from where it was collected.")
    if require_data(given) != run.dataset_hash:
        raise InvalidInput(f"{given} holds other training data than run {short(run.run_id)} had.")
    return Submission(
        data=given,
        notebook=notebook,
        wheel=_wheel(given),
        config=FinetuneConfig.from_dict(run.config),
        git_commit=run.git_commit,
        resumes=run.run_id,
        checkpoints=checkpoints if run.state == "stopped" else None,
        key=f"resume:{run.run_id}",
    )


def ancestors(runs: PgRuns, run: Run) -> int:
    """How many runs it goes on from."""
    count = 0
    while run.resumes is not None:
        run, count = runs.get(run.resumes), count + 1
    return count


def _wheel(folder: Path) -> Path:
    """The same code goes on."""
    wheel = next(iter(sorted(folder.glob("*.whl"))), None)
    try:
        wanted = json.loads((folder / "run.json").read_bytes())["wheel"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{folder / 'run.json'} does not tell which wheel it was.") from error
    if wheel is None or hashlib.sha256(wheel.read_bytes()).hexdigest() != wanted:
        raise InvalidInput(f"{folder} does not hold the wheel that it was submitted with.")
    return wheel
