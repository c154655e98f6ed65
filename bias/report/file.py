"""A report as JSON: canonical, so that the same verdicts give the same bytes, and checked."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from bias.report.figures import Json
from model_pipeline.errors import InvalidInput


def to_json(report: Json) -> str:
    """One line of ASCII and its end."""
    wrong = best_match(_validator().iter_errors(report))
    assert wrong is None, wrong
    text = json.dumps(report, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text + "\n"


def from_json(text: str) -> Json:
    """Raises InvalidInput for what is no report."""
    try:
        found: Json = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"This is no bias report: it is not JSON ({error}).") from error
    wrong = best_match(_validator().iter_errors(found))
    if wrong is not None:
        raise InvalidInput(
            f"This is no bias report of this version: at {wrong.json_path} {wrong.message[:200]}."
        )
    return found


@cache
def _validator() -> Draft202012Validator:
    schema = files("bias.report").joinpath("bias_report.schema.json").read_text(encoding="utf-8")
    return Draft202012Validator(json.loads(schema))
