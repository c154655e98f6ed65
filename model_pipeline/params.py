"""`params.yaml`: what decides how releases are judged and models are fine-tuned, a section each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from model_pipeline.errors import InvalidInput

LARGEST = 2**20  # bytes


def section(name: str, path: Path | None = None) -> Mapping[str, Any]:
    """Of `path`, or of the file that is shipped. Raises InvalidInput with one sentence on what is
    wrong; what other sections hold is others' business."""
    path = path or shipped()
    try:
        if path.stat().st_size > LARGEST:
            raise InvalidInput(f"{path} is larger than parameters may be (1 MB).")
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise InvalidInput(f"{path} cannot be read as YAML: {_short(error)}.") from error
    given = found.get(name) if isinstance(found, dict) else None
    if not isinstance(given, dict):
        raise InvalidInput(f"{path} has no `{name}:` with its keys.")
    return given


def shipped() -> Path:
    inside_wheel = Path(__file__).with_name("params.yaml")
    in_repository = Path(__file__).parents[1] / "params.yaml"
    return inside_wheel if inside_wheel.is_file() else in_repository


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
