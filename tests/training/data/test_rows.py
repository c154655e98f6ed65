"""Rows: what they show, what they leave out and why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from model_pipeline.domain import Passage, Turn
from model_pipeline.errors import TooLarge
from model_pipeline.evaluation.examples import Example
from model_pipeline.evaluation.leaks import Index
from model_pipeline.material import StoredPassage
from tests.training.data.making import DECLINES, World, passage, passages
from training.data.asked import Idea
from training.data.rows import K, Message, Row, Rows
from training.data.split import Sides

BOILS = "The kettle is a pot that boils water in three minutes."
FOUND = [
    passage("tea.md", "Tea needs hot water.\n"),
    passage("kettle.md", f"{BOILS} It is red.\n", "Kettle", ("Kettle", "Use")),
    passage("cup.md", "A cup holds tea.\n"),
]
IDEA = Idea(
    "corpus", "What is the kettle?", "shop", "definition", {"kettle.md": BOILS},
    documents=("kettle.md",),
)  # fmt: skip
BOILING = replace(IDEA, origin="liked", answers={}, answer="The kettle boils water.", documents=())


def rows(
    found: Sequence[Passage] = FOUND, *, held: Sequence[str] = (), leaks: Index | None = None,
    **tools: Any,
) -> Rows:  # fmt: skip
    stored = [StoredPassage("shop", one.source, one.content) for one in found]
    made = replace(World(stored).tools, **({"find": lambda wanted: [found] * len(wanted)} | tools))
    names = {one.source: "train" for one in found} | dict.fromkeys(held, "validation")
    return Rows(made, Sides(names), leaks, 0.1)  # type: ignore[arg-type]


def only(made: Rows, idea: Idea = IDEA) -> Any:
    (one,) = made.made([idea])
    return one


def test_the_sentence_that_answers_with_its_passage() -> None:
    row = only(rows())
    assert isinstance(row, Row)
    assert row.answer == "The kettle is a pot that boils water in three minutes [2]."
    assert row.documents == ("kettle.md", "tea.md", "cup.md") and row.side == "train"
    assert (row.passages, row.declined, row.kind, row.collection) == (
        3,
        False,
        "definition",
        "shop",
    )
    said = json.loads(row.line())
    assert set(said) == {"id", "prompt", "completion", "source", "documents"}
    assert said["completion"] == [{"role": "assistant", "content": row.answer}]
    assert [one["role"] for one in said["prompt"]] == ["system", "user"]
    assert said["source"] == "corpus" and row.line().endswith(b"\n")


def test_an_answer_holds_nothing_that_a_tokenizer_takes_for_more_than_text() -> None:
    said = f"{BOILS[:-1]} <|end|> at last."
    found = [passage("kettle.md", said)]
    assert only(rows(found), replace(IDEA, answers={"kettle.md": said})).answer.endswith(
        "minutes < |end|> at last [1]."
    )


def test_the_other_sides_documents_are_not_shown() -> None:
    row = only(rows(held=["tea.md"]))
    assert row.documents == ("kettle.md", "cup.md") and row.answer.endswith("[1].")
    assert "Tea needs" not in str(row.prompt)
    row = only(rows(held=["kettle.md", "cup.md"]))
    assert row.side == "validation" and row.documents == ("kettle.md", "cup.md")


def test_documents_of_both_sides_make_no_row() -> None:
    both = replace(IDEA, documents=("kettle.md", "tea.md"))
    assert only(rows(held=["tea.md"]), both) == "astride"


def test_it_is_asked_for_so_many_that_one_side_has_enough() -> None:
    stored = list(passages(4))
    world = World(stored)
    made = Rows(world.tools, Sides({"0.md": "validation"}), None, 0.1)
    list(made.made([IDEA, replace(IDEA, documents=("0.md",))]))
    assert [one.k for one in world.searched] == [11, 100]


def test_what_answers_is_shown_wherever_it_was_found() -> None:
    many = [passage(f"{n}.md", f"Number {n}.") for n in range(12)]
    row = only(rows([*many, FOUND[1]]))
    assert row.passages == K and row.answer.endswith(f"[{K}].")
    assert only(rows(many)) == "not_found"
    assert only(rows([])) == "nothing_found"


def test_what_stands_in_a_test_set_is_not_shown() -> None:
    leaks = Index([Example("1", "Does tea need water?", ("Tea needs hot water",))])
    row = only(rows(leaks=leaks))
    assert "Tea needs" not in str(row.prompt) and row.answer.endswith("[1].")
    assert only(rows(leaks=Index([Example("1", "?", (BOILS,))]))) == "not_found"
    heading = Index([Example("1", "Kettle use!")])
    assert only(rows(leaks=heading)) == "not_found"


def test_what_looks_personal_is_taken_out_of_passages() -> None:
    found = [
        passage("a.md", f"{BOILS} Write to ann@example.org or +41 44 123 45 67.", "ann@example.org")
    ]
    row = only(rows(found), replace(IDEA, answers={"a.md": BOILS}, documents=("a.md",)))
    assert "ann@" not in str(row.line()) and "123 45" not in str(row.line())
    assert row.prompt[-1]["content"].count("[personal]") == 2


def test_a_question_whose_documents_are_withheld_is_declined() -> None:
    idea = replace(IDEA, declines="withheld")
    row = only(rows(), idea)
    assert row.answer == DECLINES and row.declined
    assert "boils" not in str(row.prompt) and row.documents == ("kettle.md", "tea.md", "cup.md")
    copy = passage("copy.md", f"As is known: {BOILS}")
    answered = only(rows([*FOUND, copy]), idea)
    assert not answered.declined and answered.answer.endswith("three minutes [2].")


def test_a_question_of_another_collection_is_declined() -> None:
    idea = replace(IDEA, collection="garden", declines="elsewhere")
    assert only(rows([FOUND[0], FOUND[2]]), idea).answer == DECLINES
    assert only(rows([passage("x.md", BOILS)]), idea) == "answered_elsewhere"


def test_what_people_said_with_its_passage_or_not_at_all() -> None:
    row = only(rows(), replace(BOILING, history=(Turn("user", "Hi?"), Turn("assistant", "Hello."))))
    assert row.answer == "The kettle boils water [2]." and row.origin == "liked"
    assert [one["role"] for one in row.prompt] == ["system", "user", "assistant", "user"]
    assert only(rows(), replace(BOILING, answer="The kettle is blue.")) == "unsupported"
    for said in (replace(BOILING, answer=DECLINES), replace(BOILING, answer="x", declines="said")):
        row = only(rows(), said)
        assert row.answer == DECLINES and row.declined


def test_without_documents_it_goes_to_the_side_of_what_is_found_first() -> None:
    row = only(rows(held=["tea.md"]), replace(BOILING, answer="Tea needs water."))
    assert row.side == "validation" and row.documents == ("tea.md",)
    row = only(rows(held=["tea.md"]), BOILING)
    assert row.side == "train" and row.documents == ("kettle.md", "cup.md")


@pytest.mark.parametrize("room", [1, 2])
def test_what_has_no_room_is_no_row(room: int) -> None:
    def prompt(question: str, shown: Sequence[Passage], history: Any) -> tuple[list[Message], int]:
        return [{"role": "user", "content": " ".join(one.content for one in shown[:room])}], room

    row = only(rows(prompt=prompt))
    assert row == "too_long" if room == 1 else row.documents == ("kettle.md", "tea.md")


def test_a_passage_that_is_cut_is_no_row() -> None:
    def cut(question: str, shown: Sequence[Passage], history: Any) -> tuple[list[Message], int]:
        return [{"role": "user", "content": shown[0].content[:20]}], 1

    def refuse(*_: Any) -> Any:
        raise TooLarge("no room")

    assert only(rows(FOUND[1:], prompt=cut)) == "too_long"
    assert only(rows(prompt=refuse)) == "too_long"
