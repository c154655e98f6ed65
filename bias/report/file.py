"""A report as JSON: canonical, so that the same verdicts give the same bytes, and checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

from bias.report.figures import Json
from bias.report.report import VERSION
from model_pipeline.errors import InvalidInput
from model_pipeline.json_schema import checker


def to_json(report: Json) -> str:
    """One line of ASCII and its end."""
    wrong = _check()(report)
    assert wrong is None, wrong
    text = json.dumps(report, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text + "\n"


def from_json(text: str) -> Json:
    """Raises InvalidInput for what is no report."""
    try:
        found: Json = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"This is no bias report: it is not JSON ({error}).") from error
    if wrong := _check()(found):
        raise InvalidInput(f"This is no bias report of this version: {wrong}.")
    return found


def of_this_version(stored: Iterable[str]) -> list[Json]:
    """Those among reports that were kept: where the version changes, trends begin anew."""
    return [from_json(text) for text in stored if json.loads(text).get("version") == VERSION]


@cache
def _check() -> Callable[[Json], str | None]:
    return checker(Path(__file__).with_name("bias_report.schema.json"))
