"""Facts that differ, short answers and refusals: what words alone take for the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from model_pipeline.embedding.onnx_embedder import OnnxEmbedder
from model_pipeline.evaluation.examples import Example, Pair, Prediction, Retrieved
from model_pipeline.evaluation.meaning import meaning

Score = Callable[[str, str, str], dict[str, float]]
LETTERS = ("relevance", "coverage", "faithfulness")


@pytest.fixture(scope="module")
def score(embedder: OnnxEmbedder) -> Score:
    """Of an answer to a question with a reference, which is what the passage says, too."""

    def of(question: str, reference: str, answer: str) -> dict[str, float]:
        passage = Retrieved("1", reference)
        example = Example("1", question, (reference,))
        found = meaning(embedder)([Pair(example, Prediction("1", answer, passages=(passage,)))])
        return {one.name: float(one.each()[0]) for one in found}

    return of


@pytest.mark.parametrize(
    ("question", "reference", "same", "differs"),
    [
        (
            "How long can I return a jacket?",
            "A jacket can be returned within 30 days of delivery.",
            "A jacket can be returned within thirty days of delivery.",
            "A jacket can be returned within 30 hours of delivery.",
        ),
        (
            "What does shipping cost?",
            "Shipping to Norway costs 12 euros a parcel.",
            "Shipping to Norway costs €12 a parcel.",
            "Shipping to Norway costs 12 dollars a parcel.",
        ),
        (
            "How does the limit change?",
            "The default limit increases with each paid plan.",
            "With each paid plan the default limit increases.",
            "The default limit decreases with each paid plan.",
        ),
        (
            "Is the export supported?",
            "The export of large tables is supported on every plan.",
            "On every plan the export of large tables is supported.",
            "The export of large tables is unsupported on every plan.",
        ),
        (
            "Which model has vision?",
            "Claude Haiku has vision and is faster than the legacy model.",
            "Claude Haiku is faster than the legacy model and has vision.",
            "Gemini Haiku has vision and is faster than the legacy model.",
        ),
    ],
)
def test_a_fact_that_differs_counts_for_nothing(
    score: Score, question: str, reference: str, same: str, differs: str
) -> None:
    right, wrong = score(question, reference, same), score(question, reference, differs)
    assert right["coverage"] > 0.9
    assert wrong["coverage"] < 0.3
    assert wrong["faithfulness"] < right["faithfulness"] - 0.2


def test_a_short_reference_is_carried_by_a_long_answer(score: Score) -> None:
    asked = "Who wrote She's Always a Woman?", "Billy Joel"
    long = (
        "The song is by Billy Joel. It is from his album The Stranger, which came out in 1977 and "
        "sold over ten million copies in the United States."
    )
    assert score(*asked, long)["coverage"] > 0.8
    assert score(*asked, long.replace("Billy Joel", "Elton John"))["coverage"] < 0.3


def test_a_bare_fact_is_as_good_as_a_sentence_where_a_reference_shows_it(score: Score) -> None:
    asked = "When was the bridge built?", "The bridge was built in 1969."
    right, wrong = score(*asked, "1969."), score(*asked, "1972.")
    for name in LETTERS:
        assert right[name] > 0.6 > 0.3 > wrong[name]


def test_a_price_apart_from_its_product_is_not_another_price(score: Score) -> None:
    asked = "What is the price of the Frost Boots?", "The price of the Frost Boots is $149.99."
    page = "# Frost Boots\n\nPrice: $149.99\n\nThe Frost Boots keep your feet warm in 20 below."
    assert score(*asked, page)["coverage"] > 0.7
    assert score(*asked, page.replace("149", "129"))["coverage"] < 0.4


def test_marks_of_citations_are_no_numbers(score: Score) -> None:
    asked = "What does it cost?", "The jacket costs 80 euros."
    marked = score(*asked, "The jacket costs 80 euros [12].")
    assert marked == pytest.approx(score(*asked, asked[1]), abs=0.01)


YES = "Yes, you can return shoes within 30 days."


@pytest.mark.parametrize("answer", ["Yes.", "You can return shoes."])
def test_a_bare_yes_is_relevant_and_carries_a_part(score: Score, answer: str) -> None:
    found = score("Can I return shoes?", YES, answer)
    assert found["relevance"] >= 0.7
    assert 0.4 < found["coverage"] < 0.7
    assert score("Can I return shoes?", "Yes.", answer)["coverage"] == 1


@pytest.mark.parametrize("answer", ["No.", "No, shoes cannot be returned.", "No, within 30 days."])
def test_a_no_for_a_yes_carries_nothing(score: Score, answer: str) -> None:
    for reference in (YES, "Yes."):
        assert score("Can I return shoes?", reference, answer)["coverage"] == 0
    yes = score("Can I return shoes?", YES, "Yes.")
    assert score("Can I return shoes?", YES, "No.")["faithfulness"] < yes["faithfulness"] - 0.3


def test_a_yes_is_no_answer_to_what_asks_for_more(score: Score) -> None:
    assert (
        score("How can I return shoes?", "Send them back in their box.", "Yes.")["relevance"] < 0.3
    )


LACKING = "I do not have information about that."


def test_declining_what_the_reference_declines_is_right(score: Score) -> None:
    found = score("Who owns it?", LACKING, "I'm sorry, but the documents do not mention that.")
    assert found == dict.fromkeys(LETTERS, 1)


def test_to_decline_and_go_on_is_right_in_part(score: Score) -> None:
    found = score("Who owns it?", LACKING, f"{LACKING} The store in Kiel is owned by two brothers.")
    assert found["coverage"] == 0.5


def test_what_goes_on_after_declining_is_an_answer(score: Score) -> None:
    reference = "The monastery is a place of pilgrimage for Sherpas."
    partly = (
        "I do not have much information, but the monastery is a place of pilgrimage for Sherpas."
    )
    assert score("Tell me about the monastery.", reference, partly)["coverage"] > 0.7


def test_thanks_are_answered_politely(score: Score) -> None:
    assert score("Thank you!", "You're welcome!", "You're welcome!")["relevance"] == 1
    assert score("Is it open?", "Yes.", "You're welcome!")["relevance"] == 0


def test_a_list_is_its_items(score: Score) -> None:
    asked = "What do I need?", "You need a passport, two photos and the form."
    found = score(*asked, "You need the following:\n\n1. a passport\n2. two photos\n3. the form")
    assert found["coverage"] > 0.8
    assert found["faithfulness"] > 0.6
