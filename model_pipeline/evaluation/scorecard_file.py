"""Scorecards as JSON files: canonical, so that a rerun writes the same bytes, and checked.

`scorecard.schema.json` says what a file holds. Keys are sorted, floats are what Python's `repr`
gives, and there is no time but the one handed in. What is read is checked by the schema, and then
the figures against the statistics they are of.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from model_pipeline.errors import InvalidInput, NotFound, TooLarge
from model_pipeline.evaluation.bootstrap import LEVEL, Interval
from model_pipeline.evaluation.formulas import restored
from model_pipeline.evaluation.measured import Measured
from model_pipeline.evaluation.scorecard import Figure, Row, Scorecard, Slice
from model_pipeline.json_schema import checker

KIND = "promptly-scorecard"
VERSION = 1
LARGEST = 512 * 2**20  # bytes
DIGITS = 12  # of what is computed: the last ones differ between processors
NONE_SCORED = "No example was scored."
NOT_FINITE = "Its sums give no finite number."
NOT_ALONE = "By itself it has no figure."
Json = dict[str, Any]


def write(card: Scorecard, path: Path) -> None:
    """Whole or not at all."""
    text = to_json(card)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="ascii", newline="\n") as file:
            file.write(text)
        Path(part).replace(path)
    finally:
        Path(part).unlink(missing_ok=True)


def read(path: Path) -> Scorecard:
    """Raises NotFound, TooLarge, or InvalidInput with one sentence on what is wrong."""
    try:
        if path.stat().st_size > LARGEST:
            raise TooLarge(f"{path} is larger than a scorecard may be ({LARGEST >> 20} MB).")
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFound(f"There is no scorecard {path}.") from error
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from error
    return from_json(content, name=str(path))


def to_json(card: Scorecard) -> str:
    """One line of ASCII and its end."""
    found = _document(card)
    wrong = _check()(found)
    assert wrong is None, wrong
    text = json.dumps(found, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text + "\n"


def from_json(content: bytes, *, name: str = "It") -> Scorecard:
    try:
        found = json.loads(content, parse_float=_float, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{name} is not a scorecard: it is not JSON ({error}).") from error
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise InvalidInput(f"{name} is not a scorecard: `promptly evaluate` writes them.")
    version = found.get("version")
    if isinstance(version, int) and version > VERSION:
        raise InvalidInput(
            f"{name} is a scorecard of version {version}, and this Promptly reads {VERSION}: "
            "update Promptly."
        )
    try:
        if wrong := _check()(found):
            raise ValueError(wrong)
        return _card(found)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{name} is a damaged scorecard: {error}.") from error


@cache
def _check() -> Callable[[Json], str | None]:
    return checker(Path(__file__).with_name("scorecard.schema.json"))


def _float(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _no_number(text: str) -> float:
    raise ValueError(f"{text[:20]} is no number of JSON")


# To JSON


def _document(card: Scorecard) -> Json:
    each = [one.each() for one in card.measured]
    return {
        "kind": KIND,
        "version": VERSION,
        "release": card.release_id,
        "test_set": {"name": card.test_set, "hash": card.test_set_hash, "n": len(card.rows)},
        "seed": card.seed,
        "draws": card.draws,
        "level": LEVEL,
        "made_at": card.made_at,
        "params": dict(card.params),
        "versions": dict(card.versions),
        "bias": card.bias,
        "metrics": [_metric(card, one) for one in card.measured],
        "failures": _counted(card.failures()),
        "slices": [_slice(one) for one in card.slices],
        "examples": [_example(card, index, each) for index in range(len(card.rows))],
    }


def _metric(card: Scorecard, one: Measured) -> Json:
    figure = card.figures[one.name]
    again = _restored(_plain(one), {})
    assert np.isclose(
        again.figure(one.scored), one.figure(one.scored), rtol=1e-9, atol=0, equal_nan=True
    ), f"{one.name} would be read as another metric: formulas.py has to know it"
    reason = None if figure.n else NONE_SCORED
    if figure.n and math.isnan(figure.value):
        reason = NOT_FINITE
    return {
        **_plain(one),
        "figure": _number(figure.value),
        "reason": reason,
        "low": _number(figure.interval.low),
        "high": _number(figure.interval.high),
        "n": figure.n,
        "failures": _counted(card.unscored(one)),
    }


def _plain(one: Measured) -> Json:
    """What a metric is restored from."""
    rows = one.statistics.astype(np.float64).tolist()
    return {
        "name": one.name,
        "signature": one.signature,
        "best": _number(one.best),
        "worst": _number(one.worst),
        "higher_is_better": one.higher_is_better,
        "columns": one.statistics.shape[1],
        "statistics": [
            [_short(number) for number in row] if scored else None
            for row, scored in zip(rows, one.scored, strict=True)
        ],
    }


def _slice(one: Slice) -> Json:
    figures = {
        name: {
            "figure": _number(figure.value),
            "low": _number(figure.interval.low),
            "high": _number(figure.interval.high),
            "n": figure.n,
            "small": figure.small,
        }
        for name, figure in one.figures.items()
    }
    return {"by": one.by, "value": one.value, "n": one.n, "figures": figures}


def _example(card: Scorecard, index: int, each: list[np.ndarray[Any, Any]]) -> Json:
    row = card.rows[index]
    values: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for one, alone in zip(card.measured, each, strict=True):
        if not one.scored[index] and index not in one.failures:
            continue
        values[one.name] = _number(alone[index])
        if values[one.name] is None:
            reasons[one.name] = one.failures.get(index, NOT_ALONE)
    return {
        "id": row.example_id,
        "question": row.question,
        "references": list(row.references),
        "answer": row.answer,
        "declined": row.declined,
        "failure": row.failure,
        "answerable": row.answerable,
        "tags": dict(row.tags),
        "values": values,
        "reasons": reasons,
    }


def _counted(found: dict[str, list[str]]) -> list[Json]:
    """The most frequent first."""
    ordered = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    return [{"name": name, "count": len(ids), "ids": ids} for name, ids in ordered]


def _number(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def _short(value: float) -> int | float:
    return int(value) if value.is_integer() else value


# From JSON


def _card(found: Json) -> Scorecard:
    examples = found["examples"]
    ids = {row["id"]: index for index, row in enumerate(examples)}
    if len(ids) != len(examples) or len(ids) != found["test_set"]["n"]:
        raise ValueError("its examples are not as many as the test set's")
    if len({metric["name"] for metric in found["metrics"]}) != len(found["metrics"]):
        raise ValueError("it has one metric twice")
    measured = []
    for metric in found["metrics"]:
        failures = {
            _place(ids, example_id): failure["name"]
            for failure in metric["failures"]
            for example_id in failure["ids"]
        }
        measured.append(_checked(metric, _restored(metric, failures), len(ids)))
    return Scorecard(
        release_id=found["release"],
        test_set=found["test_set"]["name"],
        test_set_hash=found["test_set"]["hash"],
        seed=found["seed"],
        draws=found["draws"],
        made_at=found["made_at"],
        params=found["params"],
        versions=found["versions"],
        bias=found["bias"],
        measured=tuple(measured),
        figures={metric["name"]: _figure(metric) for metric in found["metrics"]},
        slices=tuple(
            Slice(
                one["by"],
                one["value"],
                one["n"],
                {name: _figure(figure) for name, figure in one["figures"].items()},
            )
            for one in found["slices"]
        ),
        rows=tuple(_row(row) for row in examples),
    )


def _restored(metric: Json, failures: dict[int, str]) -> Measured:
    given, columns = metric["statistics"], metric["columns"]
    scored = np.array([row is not None for row in given], dtype=np.bool_)
    try:
        rows = [[0.0] * columns if row is None else row for row in given]
        statistics = np.array(rows, dtype=np.float64).reshape(len(given), columns)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"the statistics of {metric['name']} are not rows of numbers") from error
    up = 1 if metric["higher_is_better"] else -1
    found = restored(
        metric["name"],
        metric["signature"],
        statistics,
        scored,
        best=up * math.inf if metric["best"] is None else metric["best"],
        worst=-up * math.inf if metric["worst"] is None else metric["worst"],
    )
    return replace(found, failures=failures)


def _checked(metric: Json, measured: Measured, n: int) -> Measured:
    """`measured`, where it is of `n` examples and yields the figure that is stated."""
    name, stated = metric["name"], metric["figure"]
    if len(measured.scored) != n or int(measured.scored.sum()) != metric["n"]:
        raise ValueError(f"{name} is not of the examples it states")
    try:
        value = _number(measured.figure(measured.scored)) if metric["n"] else None
    except IndexError as error:
        raise ValueError(f"{name} has too few columns of statistics") from error
    if (value is None) != (stated is None) or (
        value is not None and not math.isclose(value, stated, rel_tol=1e-9, abs_tol=1e-12)
    ):
        raise ValueError(f"{name} is stated as {stated}, and its statistics give {value}")
    return measured


def _place(ids: dict[str, int], example_id: str) -> int:
    if example_id not in ids:
        raise ValueError(f"a failure is of {example_id!r}, which is no example of it")
    return ids[example_id]


def _figure(found: Json) -> Figure:
    value, low, high = (
        math.nan if found[key] is None else found[key] for key in ("figure", "low", "high")
    )
    return Figure(value, Interval(low, high), found["n"])


def _row(row: Json) -> Row:
    return Row(
        example_id=row["id"],
        question=row["question"],
        references=tuple(row["references"]),
        answer=row["answer"],
        declined=row["declined"],
        failure=row["failure"],
        answerable=row["answerable"],
        tags=row["tags"],
    )
