"""Predictions as rows: those of a run, kept as they come, and those made elsewhere.

A run's file begins with a line that tells of what test set and release it is, so that a run that
was killed goes on where it stopped, and never with another's answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from model_pipeline.errors import InvalidInput
from model_pipeline.evaluation.examples import Prediction, Quoted, Retrieved
from model_pipeline.evaluation.row_log import RowLog, row_log
from model_pipeline.evaluation.rows import read_rows

HEAD = "run"
MAX_ANSWER = 5_000_000  # characters
ANSWERS = ("answer", "prediction", "output", "response", "text")
IDS = ("id", "example_id", "_id", "question_id", "task_id")


class PredictionLog:
    """Append-only; `done` holds what was there before, `started_at` when the run first began."""

    def __init__(self, log: RowLog, done: dict[str, Prediction], started_at: str) -> None:
        self.started_at = started_at
        self._log = log
        self.done = done

    def add(self, prediction: Prediction) -> None:
        self._log.add(to_row(prediction))
        self.done[prediction.example_id] = prediction

    def sync(self) -> None:
        self._log.sync()


@contextmanager
def prediction_log(
    path: Path, head: Mapping[str, Any], *, started_at: str
) -> Iterator[PredictionLog]:
    """Opened where it stopped. `head` tells whose answers these are; raises InvalidInput where the
    file holds another's, Conflict while another run writes to it."""
    with row_log(path, lambda rows: _require_same(path, rows, head)) as log:
        rows = log.before
        if not rows:
            rows = [{HEAD: dict(head), "started_at": started_at}]
            log.add(rows[0])
        done = {one.example_id: one for one in map(parse, rows[1:])}
        yield PredictionLog(log, done, str(rows[0].get("started_at")))


def _require_same(path: Path, rows: Sequence[Any], head: Mapping[str, Any]) -> None:
    if not rows:
        return
    known = rows[0].get(HEAD) if isinstance(rows[0], Mapping) else None
    if not isinstance(known, Mapping):
        raise InvalidInput(f"{path} is no file of a run: remove it, or name another.")
    other = [key for key in head if known.get(key) != head[key]]
    if other:
        key = other[0]
        raise InvalidInput(
            f"{path} holds answers of a run with another {key.replace('_', ' ')} "
            f"({str(known.get(key))[:80]}, not {str(head[key])[:80]}): name another --out, or give "
            "--fresh to begin anew."
        )


def read_predictions(path: Path) -> tuple[list[Prediction], str | None]:
    """Predictions made elsewhere, or a run's file; and the release that a run's file names. A row
    that tells its example but holds no answer is a prediction with an error, so that it is counted;
    one without an id makes the file InvalidInput."""
    found: list[Prediction] = []
    release: str | None = None
    for number, row in read_rows(path):
        if isinstance(row, Mapping) and isinstance(row.get(HEAD), Mapping):
            release = str(row[HEAD].get("release_id"))
            continue
        try:
            found.append(parse(row))
        except InvalidInput as error:
            raise InvalidInput(f"{path}, row {number}: {error.message}") from error
    if not found:
        raise InvalidInput(f"{path} holds no predictions: give one row for each example.")
    return found, release


def parse(row: Any) -> Prediction:
    """Raises InvalidInput for a row without an id."""
    if not isinstance(row, Mapping):
        raise InvalidInput("A prediction is an object with an id and an answer.")
    identity = next((row[name] for name in IDS if row.get(name) not in (None, "")), None)
    if identity is None or isinstance(identity, float | bool | list | dict):
        raise InvalidInput("A prediction needs the id of its example.")
    found = Prediction(str(identity), declined=row.get("declined") is True)
    error = row.get("error")
    if error is not None:
        found = replace(found, error=str(error)[:1000])
    try:
        return replace(
            found,
            answer=_answer(row, required=found.error is None and not found.declined),
            passages=tuple(_retrieved(one) for one in _list(row, "passages")),
            citations=tuple(_quoted(one) for one in _list(row, "citations")),
            latency_ms=_latency(row.get("latency_ms")),
        )
    except _Bad as bad:
        return replace(found, error=str(bad))


def to_row(prediction: Prediction) -> dict[str, Any]:
    """A JSON object, without what is empty."""
    row = asdict(prediction)
    row = {"id": row.pop("example_id"), **row}
    return {
        key: value
        for key, value in row.items()
        if key == "answer" or value not in (None, (), False)
    }


class _Bad(Exception):
    """Why a prediction is none: the name of a failure."""


def _answer(row: Mapping[str, Any], *, required: bool) -> str:
    name = next((name for name in ANSWERS if name in row), None)
    value = row[name] if name else None
    if value is None:
        if required:
            raise _Bad("The prediction has no answer.")
        return ""
    if not isinstance(value, str):
        kind = "NaN" if value != value else type(value).__name__
        raise _Bad(f"The prediction's answer is no text but {kind}.")
    if len(value) > MAX_ANSWER:
        raise _Bad(f"The answer has over {MAX_ANSWER:,} characters.")
    return value


def _latency(value: Any) -> float | None:
    """What is no finite number stays one that is none: the measure names it."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return float("nan")
    return float(value)


def _list(row: Mapping[str, Any], name: str) -> list[Any]:
    value = row.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise _Bad(f"The prediction's {name} are no list.")
    return value


def _retrieved(row: Any) -> Retrieved:
    if isinstance(row, str):
        return Retrieved(row, "")
    return Retrieved(_part(row, "source", "passage"), _part(row, "content", "passage", ""))


def _quoted(row: Any) -> Quoted:
    return Quoted(_part(row, "source", "citation"), _part(row, "quote", "citation", ""))


def _part(row: Any, name: str, of: str, otherwise: str | None = None) -> str:
    value = row.get(name, otherwise) if isinstance(row, Mapping) else None
    if not isinstance(value, str):
        raise _Bad(f"A {of} of the prediction has no {name}.")
    return value
