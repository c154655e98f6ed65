"""Rows of any shape to examples; a bad row is named, never guessed at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model_pipeline.domain import Turn
from model_pipeline.errors import InvalidInput
from model_pipeline.evaluation.examples import Example, TestSet
from model_pipeline.evaluation.rows import ExampleFields, parse_example, read_examples


def written(folder: Path, *rows: Any, name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


WHOLE = Example(
    "a",
    "What is it?",
    references=("A lamp.", "A lantern."),
    relevant={"doc/1": 2, "doc/2": 0},
    answerable=True,
    history=(Turn("user", "Hello"), Turn("assistant", "Hello to you.")),
    tags={"topic": "light", "language": "en"},
)


def test_what_an_example_writes_it_reads(tmp_path: Path) -> None:
    bare = Example("b", "And that?", answerable=False)
    path = written(tmp_path, WHOLE.to_row(), bare.to_row())
    assert read_examples(path) == (WHOLE, bare)
    assert parse_example(WHOLE.to_row()) == WHOLE


def test_usual_names_of_fields_are_found(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {"query": "Q1?", "ground_truth": "A1.", "source": "s1"},
        {"_id": 7, "question": "Q2?", "answers": ["A2.", " ", "A3."], "correct_chunks": ["s", "t"]},
    )
    first, second = read_examples(path)
    assert (first.question, first.references, first.relevant) == ("Q1?", ("A1.",), {"s1": 1})
    assert (second.example_id, second.references) == ("7", ("A2.", "A3."))
    assert second.relevant == {"s": 1, "t": 1}


def test_an_id_that_nobody_gave_is_the_questions_own(tmp_path: Path) -> None:
    (one,) = read_examples(written(tmp_path, {"question": "Q?", "answer": "A."}))
    (other,) = read_examples(written(tmp_path, {"question": " Q? ", "answer": "B."}))
    assert one.example_id == other.example_id


def test_named_fields_and_tags(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {"nr": "x", "frage": "Wann?", "soll": "Um neun.", "id": "not this", "can": "no",
         "kind": ["time", "when"], "missing": None},
    )  # fmt: skip
    fields = ExampleFields(
        id="nr", question="frage", reference="soll", answerable="can", tags=("kind", "missing")
    )
    (found,) = read_examples(path, fields)
    assert (found.example_id, found.question, found.references) == ("x", "Wann?", ("Um neun.",))
    assert (found.answerable, found.tags) == (False, {"kind": "time, when"})


def test_a_json_list_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{"question": "Q?"}]))
    assert read_examples(path)[0].question == "Q?"


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"answer": "A"}, "row 2 has no question"),
        ({"question": "  "}, "row 2 has an empty question"),
        ({"question": 5}, "row 2 has a question that is no text"),
        ({"question": float("nan")}, "row 2 has a question that is no text"),
        ({"question": "x" * 8_001}, "row 2 has a question of over 8,000 characters"),
        ({"question": "Q?", "reference": float("nan")}, "row 2 has a reference that is no text"),
        ({"question": "Q?", "references": ["a", 1]}, "row 2 has a references that is no text"),
        ({"question": "Q?", "relevant": {"s": float("nan")}}, "grade of relevance that is no num"),
        ({"question": "Q?", "relevant": {"s": -1}}, "give a whole number from 0 on"),
        ({"question": "Q?", "relevant": {"s": 1.5}}, "give a whole number from 0 on"),
        ({"question": "Q?", "relevant": 5}, "relevant sources that are no text, list or object"),
        ({"question": "Q?", "history": [{"role": "system", "content": ""}]}, "without the role"),
        ({"question": "Q?", "id": "x" * 501}, "an id of over 500 characters"),
        (["Q?"], "row 2 is no object"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: Any, problem: str) -> None:
    path = written(tmp_path, {"question": "Good?"}, row, {"question": ""})
    with pytest.raises(InvalidInput, match=problem) as raised:
        read_examples(path)
    assert "1 more rows are bad" in raised.value.message


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{"question": "Q?"}\n{"question": "Q', "line 2 is not JSON"),
        (b"\xff\xfe\x00", "is not UTF-8"),
        (b"[" * 100_000, "line 1 is not JSON"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=problem):
        read_examples(path)
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_examples(tmp_path / "gone.jsonl")


def test_what_postgres_cannot_hold_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "a\\u0000b\\ud800?", "answer": "c\\u0000"}\n')
    (found,) = read_examples(path)
    assert (found.question, found.references) == ("a\ufffdb\ufffd?", ("c\ufffd",))


def test_an_empty_file_is_no_test_set(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is empty"):
        TestSet("none", read_examples(written(tmp_path)))
