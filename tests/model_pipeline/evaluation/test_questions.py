"""Sentences to questions that can be read, and none from the others."""

from __future__ import annotations

import pytest

from model_pipeline.evaluation.questions import ask, questions


@pytest.mark.parametrize(
    ("sentence", "question", "kind"),
    [
        ("Default parameter values are evaluated from left to right when the function is defined.",
         "When are default parameter values evaluated?", "time"),
        ("The price of a mutual fund is calculated after the market closes.",
         "When is the price of a mutual fund calculated?", "time"),
        ("Function objects are created by function definitions.",
         "How are function objects created?", "manner"),
        ("An empty tuple can be formed by an empty pair of parentheses.",
         "How can an empty tuple be formed?", "manner"),
        ("To create an alarm, run the command with its name.",
         "How do you create an alarm?", "action"),
        ("You can upgrade bandwidth by purchasing larger allocations.",
         "How do you upgrade bandwidth?", "action"),
        ("The match statement is used for pattern matching.",
         "What is the match statement used for?", "purpose"),
        ("Casefolded strings may be used for caseless matching.",
         "What may casefolded strings be used for?", "purpose"),
        ("A *context manager* is an object that defines the runtime context of a block.",
         "What is a context manager?", "definition"),
        ("The API response includes headers that show the rate limit enforced.",
         "What does the API response include?", "attribute"),
        ("Traceback objects represent a stack trace of an exception.",
         "What do traceback objects represent?", "attribute"),
        ("The standard plan supports up to 40 concurrent users in each region.",
         "How many concurrent users does the standard plan support?", "amount"),
        ("If a `for` loop is terminated by `break`, the loop target keeps its current value.",
         "What happens if a `for` loop is terminated by `break`?", "condition"),
    ],
)  # fmt: skip
def test_each_shape_of_sentence(sentence: str, question: str, kind: str) -> None:
    found = ask(sentence)
    assert found is not None
    assert (found.question, found.kind, found.sentence) == (question, kind, sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "It is used for pattern matching.",  # what is?
        "This function returns the number of rows in the table.",
        "The value is evaluated when the function is called.",  # of what?
        "The chars argument is a string that specifies the characters.",  # of which function?
        "If the token is invalid, an error is returned at once.",  # which token?
        "If you pass a tuple, the elements are checked in turn.",
        "See the following section for the ways in which names are bound.",
        "To create an alarm, run the following command.",
        "Returns True if all elements of the iterable are true.",
        "Typical uses of lamps in the kitchen and elsewhere at night.",
        "Ear The ear is the organ of hearing that all mammals have.",  # a heading ran into it
        "Benefit Charges Benefit charges are determined by the state.",
        "what is meant here returns three values of it.",  # no sentence's beginning
        "The function returns x = f(y) for each of its arguments.",
        "Short one.",
        "Names are bound, and that is all there is to it",  # no end
        "",
    ],
)
def test_a_sentence_that_leans_on_others_or_is_torn_becomes_none(sentence: str) -> None:
    assert ask(sentence) is None


def test_a_name_keeps_its_capital_and_a_first_word_loses_it() -> None:
    passage = (
        "Claude consists of a family of large language models. With Claude, answers are quick. "
        "Latency depends on the size of the prompt and of the answer."
    )
    assert [one.question for one in questions(passage)] == [
        "What does Claude consist of?",
        "What does latency depend on?",
    ]


def test_headings_code_and_tables_are_not_asked() -> None:
    passage = (
        "# The match statement is used for pattern matching.\n\n"
        "    The table is used for counting things.\n    x = 1\n\n"
        "```\nThe lamp is used for reading at night.\n```\n\n"
        "* The copper kettle is used for boiling water.\n"
    )
    assert [one.question for one in questions(passage)] == ["What is the copper kettle used for?"]


def test_hostile_text_ends_soon() -> None:
    for text in ("A " * 50_000 + ".", "If " + "a " * 20_000 + ", b.", "The a" * 30_000):
        assert list(questions(text)) == []
