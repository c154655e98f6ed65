"""Real questions to examples: the best rated, nobody's name, nothing personal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from model_pipeline.domain import Turn
from model_pipeline.evaluation.asked import AskedRow, from_asked

ROW = AskedRow(
    question="When does the shop open?",
    answer="At nine.",
    declined=False,
    sources=("hours.md",),
    rating=None,
    corrected=None,
    collection="shop",
    history=(),
)


def test_a_corrected_answer_is_the_reference() -> None:
    (found,) = from_asked(
        [replace(ROW, corrected="At ten.", rating="down")], unrated=False, n=None, seed=0
    ).examples
    assert (found.question, found.references) == (ROW.question, ("At ten.",))
    assert (found.relevant, found.answerable) == (None, True)
    assert found.tags == {"question_type": "corrected", "topic": "shop"}


def test_a_liked_answer_is_one_with_its_sources() -> None:
    (found,) = from_asked([replace(ROW, rating="up")], unrated=False, n=None, seed=0).examples
    assert (found.references, found.relevant) == (("At nine.",), {"hours.md": 1})


def test_a_liked_refusal_is_a_question_without_an_answer() -> None:
    row = replace(ROW, rating="up", declined=True, sources=())
    (found,) = from_asked([row], unrated=False, n=None, seed=0).examples
    assert (found.references, found.relevant, found.answerable) == ((), None, False)


def test_what_was_only_asked_comes_when_asked_for() -> None:
    rows = [ROW, replace(ROW, question="Other?", rating="down")]
    assert from_asked(rows, unrated=False, n=None, seed=0).examples == ()
    found = from_asked(rows, unrated=True, n=None, seed=0).examples
    assert {one.question for one in found} == {"When does the shop open?", "Other?"}
    assert all(one.references == () and one.answerable is None for one in found)


def test_of_one_question_the_best_rated_counts_then_the_newest() -> None:
    rows = [
        replace(ROW, answer="newest", rating="up"),
        replace(ROW, question="when does  the shop OPEN?", corrected="corrected"),
        replace(ROW, corrected="corrected before"),
    ]
    (found,) = from_asked(rows, unrated=True, n=None, seed=0).examples
    assert found.references == ("corrected",)
    liked = [replace(ROW, answer=text, rating="up") for text in ("new", "old")]
    assert from_asked(liked, unrated=False, n=None, seed=0).examples[0].references == ("new",)


def test_a_follow_up_comes_with_what_was_said_before() -> None:
    row = replace(
        ROW, question="And on Sundays?", rating="up",
        history=({"question": ROW.question, "answer": "At nine."},),
    )  # fmt: skip
    found = from_asked([row, replace(row, history=())], unrated=False, n=None, seed=0).examples
    assert len(found) == 2
    assert {one.history for one in found} == {
        (),
        (Turn("user", ROW.question), Turn("assistant", "At nine.")),
    }


@pytest.mark.parametrize(
    "text",
    [
        "I am ann@example.org, where is my order?",
        "Call me at +41 44 668 18 00 please",
        "My card is 4111 1111 1111 1111",
        "Send it to CH93 0076 2011 6238 5295 7",
        "Hello, my name is Ann Example",
        "the password is hunter2",
    ],
)
def test_what_looks_personal_is_left_out_and_counted(text: str) -> None:
    rows = [
        replace(ROW, question=text, rating="up"),
        replace(ROW, question="Reference?", corrected=text),
        replace(ROW, question="History?", rating="up", history=({"question": text, "answer": ""},)),
        replace(ROW, question="Kept?", rating="up"),
    ]
    found = from_asked(rows, unrated=False, n=None, seed=0)
    assert ([one.question for one in found.examples], found.personal) == (["Kept?"], 3)


@pytest.mark.parametrize(
    "text", ["Is 3.11.4 newer than 3.9?", "What changed on 2024-01-31?", "Is 127.0.0.1 local?"]
)
def test_numbers_that_are_nobodys_stay(text: str) -> None:
    assert from_asked([replace(ROW, question=text)], unrated=True, n=None, seed=0).personal == 0


def test_a_sample_is_the_same_for_the_same_seed() -> None:
    rows = [replace(ROW, question=f"Question {n}?", rating="up") for n in range(30)]
    first = from_asked(rows, unrated=False, n=5, seed=3)
    assert first == from_asked(list(reversed(rows)), unrated=False, n=5, seed=3)
    assert len(first.examples) == 5
    assert first != from_asked(rows, unrated=False, n=5, seed=4)
