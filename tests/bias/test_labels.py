"""Label sets of any shape become ratings from 1 to 5, or harmful and not; what is no label is
refused with its row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bias.labels import Fields, Labelled, parse_scale, read_labels
from model_pipeline.errors import InvalidInput


def jsonl(folder: Path, *rows: object) -> Path:
    path = folder / "set.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    return path


def test_ratings_are_put_on_the_scale(tmp_path: Path) -> None:
    rows = [
        {"id": 1, "said": "one", "toxicity": 5.0, "who": ["b", "a"]},
        {"id": 2, "said": "two", "toxicity": 1.6666, "who": "a"},
        {"id": 3, "said": "three", "toxicity": "3", "who": None},
        {"id": 4, "said": "four", "toxicity": None},
    ]
    found = read_labels(jsonl(tmp_path, *rows), Fields("said", "toxicity", "who", (5, 1)))
    assert found.is_rated and found.name == "set"
    assert found.rows[0] == Labelled("one", 1.0, True, ("a", "b"))
    assert found.rows[1].rating == pytest.approx(4.3334) and not found.rows[1].harmful
    assert found.rows[2] == Labelled("three", 3.0, False)
    assert len(found.rows) == 3


def test_a_scale_of_another_length_is_stretched(tmp_path: Path) -> None:
    path = jsonl(tmp_path, {"text": "a", "label": 0}, {"text": "b", "label": 0.5})
    found = read_labels(path, Fields(scale=(0, 1)))
    assert [row.rating for row in found.rows] == [1.0, 3.0]


@pytest.mark.parametrize(
    ("value", "harmful"), [("hate", True), (True, True), (1, True), (1.0, True), ("fine", False)]
)
def test_binary_labels_are_what_they_say(tmp_path: Path, value: object, harmful: bool) -> None:
    fields = Fields(harmful_values=frozenset(("hate", "true", "1")))
    found = read_labels(jsonl(tmp_path, {"text": "a", "label": value}), fields)
    assert found.rows == (Labelled("a", None, harmful),) and not found.is_rated


def test_tables_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('text,label,group\n"so, it is",2,x\n', "utf-8-sig")
    (tmp_path / "b.tsv").write_text("text\tlabel\nso it is\t2\n", "utf-8")
    assert read_labels(tmp_path / "a.csv", Fields()).rows[0].text == "so, it is"
    assert read_labels(tmp_path / "b.tsv", Fields()).rows[0].rating == 2.0


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"comment": "a", "label": 1}], "it has comment, label: name the one to take by --text"),
        ([{"text": "a", "toxic": 1}], "name the one to take by --label-field"),
        ([{"text": "a", "label": "hate"}], "--harmful-value"),
        ([{"text": "a", "label": 0}], "no rating from 1 to 5"),
        ([{"text": "a", "label": float("nan")}], "no rating"),
        ([{"text": "a", "label": True}], "no rating"),
        ([{"text": " ", "label": 1}], "is no text"),
        ([{"text": 7, "label": 1}], "is no text"),
        ([{"text": "x" * 100_001, "label": 1}], "over 100,000 characters"),
        (["a"], "it is no object"),
        ([{"text": "a", "label": None}], "no labelled text"),
    ],
)
def test_what_is_no_label_is_refused(tmp_path: Path, rows: list[object], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_labels(jsonl(tmp_path, *rows), Fields())


def test_scales_name_the_worst_first() -> None:
    assert parse_scale("5..1") == (5, 1) and parse_scale(" -1 .. 0.5 ") == (-1, 0.5)
    for wrong in ("5", "1..1", "a..b", "1-5", ""):
        with pytest.raises(InvalidInput, match="--scale"):
            parse_scale(wrong)
