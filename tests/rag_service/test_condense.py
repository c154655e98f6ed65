"""Follow-ups: what is searched for them by the rule."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from model_pipeline.domain import Turn
from rag_service.condense import CHARACTERS, Condensed, condense

TENT = [
    Turn("user", "How do I return a tent to the shop?"),
    Turn("assistant", "A tent is returned within 30 days, with its receipt [1]."),
]


def test_the_first_question_is_left_alone() -> None:
    assert condense("And a rope?", []) == Condensed("And a rope?")
    assert condense("And a rope?", [Turn("assistant", "Hello!")]) == Condensed("And a rope?")


def test_what_is_left_out_is_looked_for_too() -> None:
    condensed = condense("And within how many days?", TENT)
    assert condensed.words == ("return", "tent")
    assert condensed.text == "And within how many days? (return tent)"


def test_a_word_that_points_back_brings_its_word_along() -> None:
    question = "Which shops, couriers and post offices take it back on a Sunday?"
    assert "tent" in condense(question, TENT).words
    assert condense(question.replace(" it", " anything"), TENT).words == ()


def test_another_topic_carries_no_words() -> None:
    condensed = condense("Which payment methods exist for online orders abroad?", TENT)
    assert condensed.words == ()
    assert condensed.text == condensed.question


def test_a_topic_that_is_named_again_is_not_carried_twice() -> None:
    assert "tent" not in condense("Is the tent waterproof?", TENT).words


def test_the_last_exchange_pulls_less_than_the_question() -> None:
    older = [Turn("user", "Where is the shop?"), Turn("assistant", "In the harbour.")]
    context = condense("And a rope?", [*older, *TENT]).context
    assert [text for text, _ in context] == [
        "How do I return a tent to the shop?",
        "A tent is returned within 30 days, with its receipt .",
    ]
    assert sum(weight for _, weight in context) < 1


def test_a_topic_lasts_over_a_turn_that_says_nothing_of_it() -> None:
    thanks = [Turn("user", "Thanks!"), Turn("assistant", "This is not in the documents.")]
    assert condense("And within how many days?", [*TENT, *thanks]).words == ("return", "tent")


def test_a_refusal_is_no_context() -> None:
    refused = [TENT[0], Turn("assistant", "This is not in the documents. The nearest is …")]
    assert [text for text, _ in condense("And a rope?", refused).context] == [TENT[0].content]


@given(
    st.text(max_size=60),
    st.lists(st.builds(Turn, st.sampled_from(["user", "assistant"]), st.text(max_size=400))),
)
def test_whatever_was_said_it_is_short_and_the_question_stays(
    question: str, history: list[Turn]
) -> None:
    condensed = condense(question, history)
    assert condensed.question == question
    assert len(condensed.words) <= 2
    assert len(condensed.context) <= 2
    assert all(0 < len(text) <= CHARACTERS for text, _ in condensed.context)
