"""Files of verdicts: in order, whole after a kill, of one judge and one list of texts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bias.scored import BATCH, EMPTY, LONG, read_texts, scored, write_scored
from bias.verdict_rows import from_row
from bias.verdicts import Unjudged, Verdict
from model_pipeline.errors import InvalidInput
from tests.bias.lexicon import LexiconJudge

TEXTS = [f"Text {n} is stupid." if n % 2 else f"Text {n}." for n in range(3 * BATCH + 5)]


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


class Killed(LexiconJudge):
    def judge(self, texts: Sequence[str]) -> list[Verdict | Unjudged]:
        if len(self.asked) == 2:
            raise KeyboardInterrupt
        return super().judge(texts)


def test_a_row_for_each_text_in_order() -> None:
    found = list(scored(LexiconJudge(), TEXTS))
    assert [(row["n"], row["text"]) for row in found] == list(enumerate(TEXTS, start=1))
    assert [from_row(row) for row in found] == LexiconJudge().judge(TEXTS)
    assert {row["judge"] for row in found} == {"lexicon|v1"}


def test_a_run_that_was_killed_goes_on(tmp_path: Path) -> None:
    path, whole = tmp_path / "verdicts.jsonl", tmp_path / "whole.jsonl"
    with pytest.raises(KeyboardInterrupt):
        write_scored(Killed(), TEXTS, path)
    assert len(rows(path)) == 2 * BATCH
    with path.open("ab") as file:
        file.write(b'{"n": 129, "text": "cut sho')
    judge = LexiconJudge()
    assert write_scored(judge, TEXTS, path) == 0
    assert sum(map(len, judge.asked)) == BATCH + 5
    write_scored(LexiconJudge(), TEXTS, whole)
    assert path.read_bytes() == whole.read_bytes()


def test_batches_are_the_same_wherever_a_run_goes_on() -> None:
    whole, later = LexiconJudge(), LexiconJudge()
    rows = list(scored(whole, TEXTS))
    assert list(scored(later, TEXTS, start=BATCH + 7)) == rows[BATCH + 7 :]
    assert later.asked == whole.asked[1:]


def test_what_had_no_verdict_is_judged_again_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.jsonl"
    texts = ["one", "odd", "", "x" * 100_001, "two"]
    judge = LexiconJudge(unreadable=frozenset(("odd",)))
    assert write_scored(judge, texts, path) == 3
    assert judge.asked == [["one", "odd", "two"]]
    said = {row["n"]: row.get("unjudged") for row in rows(path)}
    assert said == {1: None, 2: "it cannot be read", 3: EMPTY, 4: LONG, 5: None}
    judge = LexiconJudge()
    assert write_scored(judge, texts, path) == 2
    assert judge.asked == [["odd"]]
    assert [row["n"] for row in rows(path)] == [1, 2, 3, 4, 5] and "level" in rows(path)[1]


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.jsonl"
    write_scored(LexiconJudge(), ["a", "b"], path)
    before = path.read_bytes()
    for texts, judge, said in (
        (["a", "c"], LexiconJudge(), "other texts"),
        (["a"], LexiconJudge(), "other texts"),
        (["a", "b"], LexiconJudge(signature="lexicon|v2"), "another judge"),
    ):
        with pytest.raises(InvalidInput, match=said):
            write_scored(judge, texts, path)
    assert path.read_bytes() == before
    path.write_text("no rows\n")
    with pytest.raises(InvalidInput, match="no file of a run"):
        write_scored(LexiconJudge(), ["a"], path)


def test_texts_are_fields_or_plain_strings(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text('{"answer": "one"}\n"two"\n', "utf-8")
    assert read_texts(path, "answer") == ["one", "two"]
    with pytest.raises(InvalidInput, match="row 1 has no text in text"):
        read_texts(path, "text")
    path.write_text("", "utf-8")
    with pytest.raises(InvalidInput, match="has no text"):
        read_texts(path, "text")
