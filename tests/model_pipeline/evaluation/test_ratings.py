"""Ratings of people, read from files of many shapes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model_pipeline.errors import InvalidInput
from model_pipeline.evaluation.ratings import read_ratings

ROW = {"question": "Where is it?", "answer": "In Bonn.", "reference": "It is in Bonn.", "rating": 4}


def written(folder: Path, *rows: object) -> Path:
    path = folder / "ratings.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def test_reads_every_form_of_a_row(tmp_path: Path) -> None:
    several = {**ROW, "reference": ["a b", "c d"], "ratings": {"faithful": 1, "complete": 0.5}}
    passages = {
        "question": "Q?",
        "answer": "A.",
        "rating": 1,
        "passages": ["one", {"content": "two"}, {"text": "three"}],
    }
    first, second, third = read_ratings(written(tmp_path, ROW, "", several, passages))
    assert first.ratings == {"rating": 4}
    assert first.pair.example.references == ("It is in Bonn.",)
    assert second.pair.example.references == ("a b", "c d")
    assert second.ratings == {"faithful": 1, "complete": 0.5}
    assert [one.content for one in third.pair.prediction.passages] == ["one", "two", "three"]


@pytest.mark.parametrize(
    "row",
    [
        "[1]",
        "3",
        {**ROW, "rating": "high"},
        {**ROW, "rating": float("nan")},
        {**ROW, "ratings": {}},
        {**ROW, "answer": 3},
        {**ROW, "reference": [1]},
        {**ROW, "reference": None},
        {key: value for key, value in ROW.items() if key != "question"},
        {**ROW, "passages": [{"title": "x"}]},
        {**ROW, "passages": [3]},
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, row: object) -> None:
    with pytest.raises(InvalidInput, match="line 2: give question, answer, reference"):
        read_ratings(written(tmp_path, ROW, row))


def test_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="line 2 is not JSON"):
        read_ratings(written(tmp_path, ROW, "not json"))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_ratings(tmp_path / "none.jsonl")
    (tmp_path / "ratings.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="is not UTF-8"):
        read_ratings(tmp_path / "ratings.jsonl")


def test_a_json_list_and_other_names(tmp_path: Path) -> None:
    path = tmp_path / "ratings.json"
    row = {
        "user_input": "Where?",
        "response": "Bonn.",
        "ground_truth": "In Bonn.",
        "retrieved_contexts": ["It is in Bonn."],
        "correctness": "yes",
        "faithfulness": "4/5",
    }
    path.write_text(json.dumps([row, {**row, "correctness": "n/a", "faithfulness": [1, 2, None]}]))
    first, second = read_ratings(path)
    assert first.pair.example.question == "Where?"
    assert first.pair.prediction.answer == "Bonn."
    assert first.pair.example.references == ("In Bonn.",)
    assert first.ratings == {"correctness": 1, "faithfulness": 4}
    assert second.ratings == {"faithfulness": 1.5}


@pytest.mark.parametrize(("suffix", "mark"), [(".csv", ","), (".tsv", "\t")])
def test_a_table_with_a_byte_order_mark(tmp_path: Path, suffix: str, mark: str) -> None:
    path = tmp_path / f"ratings{suffix}"
    rows = [
        ["Question", "Answer", "Reference", "Contexts", "Score"],
        ["Where?", "Bonn.", "[sic] In Bonn.", '"[""It is in Bonn."", ""Old.""]"', "5"],
        ["Where?", "Ulm.", "In Bonn.", "", ""],
    ]
    path.write_text("\n".join(mark.join(row) for row in rows), encoding="utf-8-sig")
    (one,) = read_ratings(path)  # nobody rated the other
    assert one.pair.example.references == ("[sic] In Bonn.",)
    assert [each.content for each in one.pair.prediction.passages] == ["It is in Bonn.", "Old."]
    assert one.ratings == {"score": 5}


def test_a_conversation_ends_with_its_question(tmp_path: Path) -> None:
    said = [
        {"speaker": "user", "text": "Where is it?"},
        {"speaker": "agent", "text": "In Bonn."},
        {"speaker": "user", "text": "Since when?"},
    ]
    row = {"input": said, "answer": "1969.", "reference": "Since 1969.", "rating": True}
    asked = {"question": "Since when?", "history": [{"role": "human", "content": "Where is it?"}]}
    first, second = read_ratings(written(tmp_path, row, {**ROW, **asked}))
    assert first.pair.example.question == "Since when?"
    roles = [(turn.role, turn.content) for turn in first.pair.example.history]
    assert roles == [("user", "Where is it?"), ("assistant", "In Bonn.")]
    assert first.ratings == {"rating": 1}
    assert [turn.role for turn in second.pair.example.history] == ["user"]


def test_fields_that_are_named(tmp_path: Path) -> None:
    row = {**ROW, "Fluency": 3, "rating": 9}
    (one,) = read_ratings(written(tmp_path, row), ["Fluency"])
    assert one.ratings == {"Fluency": 3}
    with pytest.raises(InvalidInput, match="line 1"):
        read_ratings(written(tmp_path, ROW), ["Fluency"])


def test_an_empty_answer_is_an_answer(tmp_path: Path) -> None:
    (one,) = read_ratings(written(tmp_path, {**ROW, "answer": ""}))
    assert one.pair.prediction.answer == ""
