"""The sidebar's filter rows, and the expert's JSON, as the service's filter form."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

OPERATORS = {
    "is": "eq",
    "is not": "ne",
    "is one of": "in",
    "contains": "contains",
    "at least": "gte",
    "at most": "lte",
    "more than": "gt",
    "less than": "lt",
}


class FilterError(ValueError):
    """The text of this error is shown to the person who typed the filter."""


@dataclass(frozen=True, slots=True)
class Row:
    key: str
    operator: str
    value: str


def from_rows(rows: Sequence[Row]) -> dict[str, Any] | None:
    """The filter that all `rows` state together; rows without a field or a value are unfinished."""
    conditions = [_condition(row) for row in rows if row.key.strip() and row.value.strip()]
    if not conditions:
        return None
    return conditions[0] if len(conditions) == 1 else {"all": conditions}


def _condition(row: Row) -> dict[str, Any]:
    key, operator = row.key.strip(), OPERATORS[row.operator]
    if operator == "in":
        return {key: {"in": [_value(part) for part in row.value.split(",") if part.strip()]}}
    value = _value(row.value)
    if operator == "eq":
        return {key: value}
    if operator == "ne":
        return {"not": {key: value}}
    return {key: {operator: value}}


def _value(text: str) -> str | int | float | bool:
    """A number or true/false as such, the rest as text; quotes keep "2020" a text."""
    text = text.strip()
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except ValueError:
        return text
    return value if isinstance(value, str | int | float | bool) else text


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def from_json(text: str) -> dict[str, Any] | None:
    if not text.strip():
        return None
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        reason = str(error).split(":")[0]
        place = (
            f" at line {error.lineno}, column {error.colno}"
            if isinstance(error, json.JSONDecodeError)
            else ""
        )
        raise FilterError(f"This is not JSON{place}: {reason.lower()}.") from error
    if not isinstance(value, dict):
        raise FilterError('A filter is a JSON object, such as {"lang": "en"}.')
    return value or None


def told(filter: dict[str, Any] | None) -> str:
    """The filter in one short line."""
    return json.dumps(filter, ensure_ascii=False) if filter else ""
