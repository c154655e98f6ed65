"""What a statement says, and whether it says anything."""

from __future__ import annotations

import pytest

from model_pipeline.evaluation.statements import statement, statements


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I do not have information about that.",
        "As an AI language model, I cannot look into your account.",
        "I am unable to provide an answer.",
        "The documents do not mention it.",
        "There is not enough information, however sorry I am.",
    ],
)
def test_declines(text: str) -> None:
    assert statement(text).declines
    assert not statement(text).claims


@pytest.mark.parametrize(
    "text",
    [
        "I do not have much information about it, but the monastery is a place of pilgrimage.",
        "There is no refund after 30 days.",
        "We are sorry that parcels to Norway and Iceland are late.",
    ],
)
def test_claims_all_the_same(text: str) -> None:
    assert statement(text).claims


@pytest.mark.parametrize(
    "text", ["I'm sorry.", "I apologize for the confusion.", "You're welcome!", "Is it red?"]
)
def test_polite_or_asking(text: str) -> None:
    assert not statement(text).claims


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Yes.", 1),
        ("Yes, you can.", 1),
        ("That's correct.", 1),
        ("No.", -1),
        ("No, you cannot.", -1),
        ("No refund is given.", 0),
        ("Yesterday it was.", 0),
        ("Correct answers are counted.", 0),
    ],
)
def test_verdicts(text: str, verdict: int) -> None:
    assert statement(text).verdict == verdict


@pytest.mark.parametrize(
    ("text", "denies"),
    [
        ("No, you cannot return it.", True),
        ("No, it is free.", False),
        ("It is no longer available.", True),
        ("You can not only return it but exchange it.", False),
        ("Return it no later than Friday.", False),
        ("We are unable to ship it.", True),
        ("It isn't impossible.", False),
    ],
)
def test_denials(text: str, denies: bool) -> None:
    assert statement(text).denies is denies


def test_a_list_s_number_and_its_introduction_are_slight() -> None:
    for text in ("3.", "(2)", "The steps are:", "Yes, that is right."):
        assert statement(text).slight
    assert not statement("3 steps are needed.").slight


def test_numbers_are_one_word_in_any_writing() -> None:
    assert statement("Ten cost 1,299.00").terms == statement("10 cost 1299").terms


def test_marks_of_citations_are_not_said() -> None:
    (one,) = statements("It costs 20 euros [96].")
    assert "96" not in one.terms
