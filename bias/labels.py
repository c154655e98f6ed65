"""Texts that people labelled: levels, ratings on any scale, or harmful and not."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bias.agreement import level_of
from bias.verdicts import LEVELS
from model_pipeline.errors import InvalidInput, TooLarge
from model_pipeline.evaluation.rows import MAX_BYTES, read_rows

MAX_ROWS = 100_000
MAX_TEXT = 100_000  # characters
WORST, BEST = float(LEVELS[0]), float(LEVELS[-1])
SEPARATORS = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True, slots=True)
class Labelled:
    """`rating` is from 1.0 to 5.0, 5 is fair; of binary labels it is None. `harmful` is a binary
    label, or whether the rating is nearer to level 2 than to level 3."""

    text: str
    rating: float | None
    harmful: bool
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelSet:
    name: str
    rows: tuple[Labelled, ...]

    @property
    def is_rated(self) -> bool:
        return bool(self.rows) and self.rows[0].rating is not None


@dataclass(frozen=True, slots=True)
class Fields:
    """What a file calls its parts. `scale` is (the worst, the best) rating; with `harmful_values`
    labels are binary, and these are the harmful ones."""

    text: str = "text"
    label: str = "label"
    group: str = "group"
    scale: tuple[float, float] = (WORST, BEST)
    harmful_values: frozenset[str] = frozenset()


def parse_scale(text: str) -> tuple[float, float]:
    """Of "1..5" (5 is fair) or "5..1" (5 is the most harmful). Raises InvalidInput."""
    found = re.fullmatch(r"\s*(-?\d+(?:\.\d+)?)\s*\.\.\s*(-?\d+(?:\.\d+)?)\s*", text)
    if not found or float(found[1]) == float(found[2]):
        raise InvalidInput(
            f"--scale is {text!r}: give the most harmful and the fairest rating, as in 1..5, or "
            "5..1 where 5 is the most harmful."
        )
    return float(found[1]), float(found[2])


def read_labels(path: Path, fields: Fields) -> LabelSet:
    """JSONL, a JSON list, CSV or TSV. Rows without a label are left out, as the same text again
    with the same label is. Raises InvalidInput with the row, TooLarge."""
    rows: dict[Labelled, None] = {}
    for number, row in _rows(path):
        try:
            if (found := _labelled(row, fields)) is not None:
                rows[found] = None
        except _Bad as bad:
            raise InvalidInput(f"{path}, row {number}: {bad}") from bad
        if len(rows) > MAX_ROWS:
            raise TooLarge(f"{path} has more than {MAX_ROWS:,} rows: give a sample of them.")
    if not rows:
        raise InvalidInput(f"{path} has no labelled text.")
    return LabelSet(path.stem, tuple(rows))


def groups_of(rows: Sequence[Labelled]) -> list[str]:
    """The most frequent first."""
    counted = Counter(group for row in rows for group in row.groups)
    return sorted(counted, key=lambda group: (-counted[group], group))


class _Bad(Exception):
    pass


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    separator = SEPARATORS.get(path.suffix.lower())
    if separator is None:
        yield from read_rows(path)
        return
    try:
        if path.stat().st_size > MAX_BYTES:
            raise TooLarge(f"{path} has over {MAX_BYTES:,} bytes: split it.")
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from enumerate(csv.DictReader(file, delimiter=separator), start=1)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"{path} is no table in UTF-8: {error}.") from error


def _labelled(row: Any, fields: Fields) -> Labelled | None:
    if not isinstance(row, Mapping):
        raise _Bad("it is no object")
    text, label = _given(row, fields.text, "text"), _given(row, fields.label, "label")
    if not isinstance(text, str) or not text.strip():
        raise _Bad(f"{fields.text} is no text ({text!r:.50})")
    if len(text) > MAX_TEXT:
        raise _Bad(f"{fields.text} has over {MAX_TEXT:,} characters")
    if label is None or str(label).strip() == "":
        return None
    groups = _groups(row.get(fields.group))
    if fields.harmful_values:
        return Labelled(text, None, _said(label) in fields.harmful_values, groups)
    rating = _rating(label, fields)
    return Labelled(text, rating, level_of(rating) <= 2, groups)


def _given(row: Mapping[str, Any], field: str, what: str) -> Any:
    if field not in row:
        there = ", ".join(str(name) for name in list(row)[:12])
        raise _Bad(f"there is no {field}; it has {there}: name the one to take by --{what}-field")
    return row[field]


def _said(label: Any) -> str:
    """As it is written in the file: JSON's true is "true", 1.0 is "1"."""
    if isinstance(label, bool):
        return str(label).lower()
    return str(int(label)) if isinstance(label, float) and label == int(label) else str(label)


def _rating(label: Any, fields: Fields) -> float:
    worst, best = fields.scale
    try:
        value = math.nan if isinstance(label, bool) else float(label)
    except (TypeError, ValueError):
        value = math.nan
    if not min(worst, best) <= value <= max(worst, best):
        raise _Bad(
            f"{fields.label} is {label!r:.50}, no rating from {worst:g} to {best:g}: give --scale, "
            "or --harmful-value where labels are not ratings"
        )
    return WORST + (BEST - WORST) * (value - worst) / (best - worst)


def _groups(value: Any) -> tuple[str, ...]:
    given = value if isinstance(value, list) else [value]
    return tuple(sorted({str(one).strip() for one in given if one not in (None, "")}))
