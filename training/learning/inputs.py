"""What a Kaggle session was given beside its training data: a configuration, perhaps a base model,
and what an earlier session left. Looked for by name, since Kaggle mounts inputs now here, now
there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_pipeline.errors import InvalidInput
from training.config import FinetuneConfig
from training.learning.session import BEGUN


@dataclass(frozen=True, slots=True)
class Inputs:
    """`base` is None where the base model comes from the Hub; `resume` has the checkpoints of an
    earlier session."""

    config: FinetuneConfig
    base: Path | None
    resume: Path | None
    git_commit: str | None


def find(folder: Path) -> Inputs:
    """Below `folder`; a configuration that is not there is the one of the defaults. Raises
    InvalidInput where something is there twice, or is not what its name says."""
    config = _config(folder)
    run_json = _one(folder, "run.json")
    run = _json(run_json / "run.json") if run_json else {}
    return Inputs(
        config=config,
        base=_base(folder, config),
        resume=_one(folder, BEGUN),
        git_commit=run.get("git_commit"),
    )


def _one(folder: Path, name: str) -> Path | None:
    """The folder that holds a file of that name; of two, one within the other, the outer."""
    found = sorted(path.parent for path in folder.rglob(name))
    outer = [one for one in found if not any(other in one.parents for other in found)]
    if len(outer) > 1:
        raise InvalidInput(
            f"There are two folders with {name} below {folder}, {outer[0]} and {outer[1]}: attach "
            "one of them."
        )
    return outer[0] if outer else None


def _config(folder: Path) -> FinetuneConfig:
    """Models have a file of that name, too."""
    found = [_json(path) for path in sorted(folder.rglob("config.json"))]
    own = [one for one in found if "model_type" not in one]
    if len(own) > 1:
        raise InvalidInput(f"There are {len(own)} config.json below {folder}: attach one of them.")
    return FinetuneConfig.from_dict(own[0]) if own else FinetuneConfig()


def _base(folder: Path, config: FinetuneConfig) -> Path | None:
    """The model that is attached; of several, the one that is named like the configured one."""
    found = sorted(
        path.parent
        for path in folder.rglob("config.json")
        if "model_type" in _json(path) and any(path.parent.glob("*.safetensors"))
    )
    name = config.base_model.rpartition("/")[2].lower()
    named = [one for one in found if name in str(one).lower()]
    if len(found) > 1 and len(named) != 1:
        raise InvalidInput(
            f"There are {len(found)} models below {folder}, and not one alone is {name}: attach it "
            "alone."
        )
    return next(iter(named or found), None)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise InvalidInput(f"There is no {path.name} in {path.parent}.") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path} is not JSON.") from error
    if not isinstance(found, dict):
        raise InvalidInput(f"{path} is no object.")
    return found
