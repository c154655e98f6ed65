"""Metadata filters: a small JSON form, compiled to a jsonpath predicate for `metadata @@ $1`.

    {"lang": "en"}                              equality; several keys are joined by and
    {"year": {"gte": 2020, "lt": 2025}}         gt, gte, lt, lte, on numbers or on strings
    {"tag": {"in": ["a", "b"]}}                 any of these values
    {"tags": {"contains": "x"}}                 an array holds the value; or a string holds the text
    {"author.name": "Ada"}                      a nested key
    {"any": [{...}, {...}]}  {"all": [...]}  {"not": {...}}

A field that holds an array matches where any of its elements does. `not` also matches where the
field is missing. Values of another type than the field's never match. Values become JSON literals
and keys quoted names, so nothing in them is read as jsonpath.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from model_pipeline.errors import InvalidInput

MAX_DEPTH = 5
MAX_CONDITIONS = 50
MAX_VALUES = 100
MAX_TEXT = 1_000
COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
OPERATORS = (*COMPARISONS, "eq", "ne", "in", "contains")
FORM = 'such as {"lang": "en"} or {"year": {"gte": 2020}}'


def compile_filter(filter: Mapping[str, Any] | None) -> str | None:
    """The jsonpath of `filter`; None where nothing is filtered. Raises InvalidInput."""
    if not filter:
        return None
    compiler = _Compiler()
    return compiler.group(filter, depth=1)


class _Compiler:
    def __init__(self) -> None:
        self._conditions = 0

    def group(self, filter: object, *, depth: int) -> str:
        if not isinstance(filter, Mapping) or not filter:
            raise InvalidInput(f"A filter must be an object {FORM}, not {_shown(filter)}.")
        if depth > MAX_DEPTH:
            raise InvalidInput(
                f"The filter is nested more than {MAX_DEPTH} levels deep: flatten it."
            )
        return " && ".join(self._entry(key, value, depth) for key, value in filter.items())

    def _entry(self, key: object, value: object, depth: int) -> str:
        if not isinstance(key, str) or not key:
            raise InvalidInput("A filter's key must be a non-empty string.")
        if key in ("any", "all") and isinstance(value, Sequence) and not isinstance(value, str):
            if not value:
                raise InvalidInput(f'The filter\'s "{key}" is an empty list: give it conditions.')
            joint = " || " if key == "any" else " && "
            return "(" + joint.join(f"({self.group(v, depth=depth + 1)})" for v in value) + ")"
        if key == "not" and isinstance(value, Mapping):
            return f"!({self.group(value, depth=depth + 1)})"
        return self._condition(key, value)

    def _condition(self, key: str, value: object) -> str:
        field = "$." + ".".join(_literal(part, key) for part in key.split("."))
        if not isinstance(value, Mapping):
            self._count(1)
            if isinstance(value, Sequence) and not isinstance(value, str):
                raise InvalidInput(f'The filter on "{key}" is a list: use {{"in": [...]}}.')
            return f"{field} == {_literal(value, key)}"
        if not value:
            raise InvalidInput(f'The filter on "{key}" is empty: give a value or an operator.')
        return " && ".join(self._operation(key, field, op, wanted) for op, wanted in value.items())

    def _operation(self, key: str, field: str, operator: object, wanted: object) -> str:
        self._count(1)
        if operator in COMPARISONS:
            if isinstance(wanted, bool) or not isinstance(wanted, int | float | str):
                raise InvalidInput(
                    f'The filter on "{key}" compares with {_shown(wanted)}: use a number or string.'
                )
            return f"{field} {COMPARISONS[str(operator)]} {_literal(wanted, key)}"
        if operator == "eq":
            return f"{field} == {_literal(wanted, key)}"
        if operator == "ne":
            return f"!({field} == {_literal(wanted, key)})"
        if operator == "in":
            return self._any_of(key, field, wanted)
        if operator == "contains":
            if isinstance(wanted, str):
                # An element of an array that is this text, or a text that has it inside.
                pattern = json.dumps(wanted)
                _literal(wanted, key)
                return f'({field} == {pattern} || {field} like_regex {pattern} flag "q")'
            return f"{field} == {_literal(wanted, key)}"
        raise InvalidInput(
            f'The filter on "{key}" has the unknown operator {_shown(operator)}: use one of '
            f"{', '.join(OPERATORS)}."
        )

    def _any_of(self, key: str, field: str, wanted: object) -> str:
        if not isinstance(wanted, Sequence) or isinstance(wanted, str) or not wanted:
            raise InvalidInput(f'The filter\'s "in" on "{key}" needs a non-empty list of values.')
        if len(wanted) > MAX_VALUES:
            raise InvalidInput(f'The filter\'s "in" on "{key}" has more than {MAX_VALUES} values.')
        return "(" + " || ".join(f"{field} == {_literal(value, key)}" for value in wanted) + ")"

    def _count(self, conditions: int) -> None:
        self._conditions += conditions
        if self._conditions > MAX_CONDITIONS:
            raise InvalidInput(f"The filter has more than {MAX_CONDITIONS} conditions: use fewer.")


def _literal(value: object, key: str) -> str:
    """`value` as a jsonpath literal, which JSON's scalars are."""
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            raise InvalidInput(
                f'A text in the filter on "{key[:50]}" is over {MAX_TEXT} characters.'
            )
        if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
            raise InvalidInput("A text in the filter has characters that cannot be stored.")
        return json.dumps(value, ensure_ascii=False)
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int | float) and value == value and abs(value) < 1e300:
        return json.dumps(value)
    raise InvalidInput(
        f'The filter on "{key[:50]}" has {_shown(value)}: give a string, number, true, false '
        "or null."
    )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
