"""Filter rows and JSON, as the service's filter form."""

from __future__ import annotations

import pytest

from model_pipeline.store.filters import compile_filter
from rag_service.ui.filters import OPERATORS, FilterError, Row, from_json, from_rows


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (Row("lang", "is", "en"), {"lang": "en"}),
        (Row("year", "is", "2024"), {"year": 2024}),
        (Row("year", "is", '"2024"'), {"year": "2024"}),
        (Row("draft", "is", "true"), {"draft": True}),
        (Row("lang", "is not", "en"), {"not": {"lang": "en"}}),
        (Row("tag", "is one of", "a, 2,, b"), {"tag": {"in": ["a", 2, "b"]}}),
        (Row("tags", "contains", "x"), {"tags": {"contains": "x"}}),
        (Row(" year ", "at least", "2020"), {"year": {"gte": 2020}}),
        (Row("day", "less than", "2024-05-01"), {"day": {"lt": "2024-05-01"}}),
        (Row("note", "is", "NaN"), {"note": "NaN"}),
        (Row("note", "is", "[1"), {"note": "[1"}),
    ],
)
def test_one_row(row: Row, expected: dict[str, object]) -> None:
    assert from_rows([row]) == expected


def test_unfinished_rows_say_nothing_and_several_hold_together() -> None:
    rows = [Row("lang", "is", "en"), Row("", "is", "x"), Row("year", "is", " ")]
    assert from_rows(rows) == {"lang": "en"}
    rows.append(Row("year", "at most", "2024"))
    assert from_rows(rows) == {"all": [{"lang": "en"}, {"year": {"lte": 2024}}]}
    assert from_rows([]) is None


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_service_understands_every_operator(operator: str) -> None:
    assert compile_filter(from_rows([Row("year", operator, "3"), Row("a", "is", "b")]))


def test_json_is_taken_as_it_is() -> None:
    assert from_json(' {"lang": "en"} ') == {"lang": "en"}
    assert from_json("  ") is None
    assert from_json("{}") is None


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('{"lang": en}', "not JSON at line 1, column 10"),
        ("[1]", "a JSON object"),
        ('{"a": NaN}', "not JSON"),
    ],
)
def test_what_is_no_filter_is_told_clearly(text: str, part: str) -> None:
    with pytest.raises(FilterError, match=part):
        from_json(text)
