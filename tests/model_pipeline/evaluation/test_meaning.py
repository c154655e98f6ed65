"""Relevance, coverage and faithfulness on texts whose worth is plain, and where they are known to
fail."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from model_pipeline.domain import Turn
from model_pipeline.embedding.onnx_embedder import OnnxEmbedder
from model_pipeline.evaluation.examples import Example, Pair, Prediction, Retrieved
from model_pipeline.evaluation.meaning import NO_PASSAGES, NOTHING_WANTED, OTHER_SCRIPT, meaning

QUESTION = "How long can I return a jacket, and what does it cost?"
REFERENCE = (
    "You can return a jacket within 30 days of delivery. Sending it back from Germany is free. "
    "From other countries it costs 12 euros, which are taken off the refund."
)
PASSAGE = (
    "# Returns\n\nClothes, jackets and shoes included, may be returned within 30 days of delivery. "
    "A return shipment is free from Germany; from all other countries we keep 12 euros of the "
    "refund. Underwear cannot be returned."
)
REFUSAL = "I'm sorry, but I do not have any information about returning jackets."
OTHER = "Our stores in Hamburg and Munich open at nine and close at eight, Sundays excepted."
LETTERS = ("relevance", "coverage", "faithfulness")


def pair(
    answer: str,
    *,
    question: str = QUESTION,
    references: tuple[str, ...] = (REFERENCE,),
    passages: tuple[str, ...] = (PASSAGE,),
    history: tuple[Turn, ...] = (),
    answerable: bool | None = None,
    declined: bool = False,
    error: str | None = None,
) -> Pair:
    kept = tuple(Retrieved(str(n), text) for n, text in enumerate(passages))
    return Pair(
        Example("1", question, references, answerable=answerable, history=history),
        Prediction("1", answer, declined=declined, passages=kept, error=error),
    )


Score = Callable[..., dict[str, float]]


@pytest.fixture(scope="module")
def score(embedder: OnnxEmbedder) -> Score:
    measure = meaning(embedder)

    def of(answer: str, **given: object) -> dict[str, float]:
        found = measure([pair(answer, **given)])  # type: ignore[arg-type]
        assert [one.name for one in found] == list(LETTERS)
        return {one.name: float(one.each()[0]) for one in found}

    return of


def test_the_reference_itself_is_all_three(score: Score) -> None:
    found = score(REFERENCE)
    assert found["coverage"] > 0.95
    assert found["relevance"] > 0.7
    assert found["faithfulness"] > 0.7


def test_what_says_something_else_is_none(score: Score) -> None:
    found = score(OTHER)
    assert found["coverage"] < 0.1
    assert found["relevance"] < 0.3
    assert found["faithfulness"] < 0.3


def test_half_of_the_reference_carries_less_and_no_worse_supported(score: Score) -> None:
    whole, half = score(REFERENCE), score(REFERENCE.split(". ")[0] + ".")
    assert half["coverage"] < whole["coverage"] - 0.2
    assert half["faithfulness"] > whole["faithfulness"] - 0.2


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("30 days", "45 days"), ("is free", "is not free"), ("Germany", "Portugal")],
)
def test_a_wrong_number_name_or_denial_lowers_both(score: Score, right: str, wrong: str) -> None:
    found, changed = score(REFERENCE), score(REFERENCE.replace(right, wrong))
    assert changed["coverage"] < found["coverage"] - 0.1
    assert changed["faithfulness"] < found["faithfulness"] - 0.05


def test_sentences_of_elsewhere_lower_faithfulness(score: Score) -> None:
    assert score(f"{REFERENCE} {OTHER}")["faithfulness"] < score(REFERENCE)["faithfulness"] - 0.1


def test_politeness_changes_little(score: Score) -> None:
    polite = (
        f"Thank you for your question! {REFERENCE} I hope this helps. Please let me know if there "
        "is anything else."
    )
    for name, value in score(REFERENCE).items():
        assert score(polite)[name] == pytest.approx(value, abs=0.02)


def test_a_fluent_refusal_is_not_relevant_and_carries_nothing_but_is_faithful(score: Score) -> None:
    assert score(REFUSAL) == {"relevance": 0, "coverage": 0, "faithfulness": 1}
    assert score("Not mentioned in the documents.")["relevance"] == 0


def test_the_question_again_is_no_answer(score: Score) -> None:
    stated = "How long you can return a jacket, and what it does cost."
    for again in (QUESTION, QUESTION.rstrip("?"), stated):
        found = score(again)
        assert found["relevance"] == 0
        assert found["coverage"] == 0


def test_a_reference_that_declines_is_carried_by_declining(score: Score) -> None:
    lacking = ("I do not have information about that.",)
    assert score(REFUSAL, references=lacking)["coverage"] == 1
    assert score(REFERENCE, references=lacking)["coverage"] == 0


def test_a_reference_that_asks_back_is_carried_by_asking_so(score: Score) -> None:
    asks = ("Which country do you live in?",)
    assert score("Which country do you live in?", references=asks)["coverage"] > 0.9
    assert score(OTHER, references=asks)["coverage"] < 0.2


def test_the_best_of_several_references_counts(score: Score) -> None:
    assert score(REFERENCE, references=(OTHER, REFERENCE)) == score(REFERENCE)


def test_without_a_reference_the_passages_that_bear_on_the_question_are_wanted(
    score: Score,
) -> None:
    right, wrong = (score(one, references=())["coverage"] for one in (REFERENCE, OTHER))
    assert right > wrong + 0.2


def test_a_follow_up_is_read_with_the_turn_before(score: Score) -> None:
    history = (Turn("user", "How long can I return a jacket?"), Turn("assistant", "30 days."))
    given = {"question": "And what is the price?", "references": ()}
    told = score(REFERENCE, **given, history=history)
    alone = score(REFERENCE, **given)
    assert told["relevance"] > alone["relevance"] + 0.05


def test_no_answer_where_one_was_due_scores_nothing(score: Score) -> None:
    for nothing in ("", " \n", "…", "🙂"):
        assert score(nothing) == dict.fromkeys(LETTERS, 0)
    assert score("", error="The model did not answer.") == dict.fromkeys(LETTERS, 0)
    declined = score("This is not in the documents.", declined=True)
    assert declined == {"relevance": 0, "coverage": 0, "faithfulness": 1}


def test_declining_what_has_no_answer_is_not_meant(embedder: OnnxEmbedder) -> None:
    found = meaning(embedder)(
        [pair("Not in the documents.", declined=True, answerable=False, references=())]
    )
    assert [bool(one.scored[0]) for one in found] == [False, False, True]
    assert not any(one.failures for one in found)


def test_what_cannot_be_measured_says_why(embedder: OnnxEmbedder) -> None:
    pairs = [
        pair(REFERENCE, references=(), passages=()),
        pair("Sie ist lang. " * 80_000),
        pair("a. " * 3_000),
        pair(REFERENCE, question="退货需要多长时间？"),
        pair(REFERENCE),
    ]
    relevance, coverage, faithfulness = meaning(embedder)(pairs)
    assert coverage.failures[0] == NOTHING_WANTED
    assert faithfulness.failures[0] == NO_PASSAGES
    for one in (relevance, coverage, faithfulness):
        assert "answer over 250,000 characters" in one.failures[1]
        assert one.failures[3] == OTHER_SCRIPT
        assert np.flatnonzero(one.scored)[-1] == 4


def test_odd_texts_have_a_figure(embedder: OnnxEmbedder) -> None:
    odd = [
        "\x00",
        "\ud800 word",
        "a" * 5_000,
        "| a | b |\n|---|---|",
        "[1]",
        "<b>x</b>",
        "\u202eabc",
    ]
    for one in meaning(embedder)([pair(text) for text in odd]):
        assert np.isfinite(one.each()).all()
        assert ((one.each() >= 0) & (one.each() <= 1)).all()


def test_a_rerun_is_the_same_to_the_bit(embedder: OnnxEmbedder) -> None:
    pairs = [pair(REFERENCE), pair(OTHER), pair(REFUSAL)]
    first, second = (meaning(embedder)(pairs) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert a.signature == b.signature
        assert a.statistics.tobytes() == b.statistics.tobytes()


# What the files say they are known to fail at.


def test_a_bare_fact_is_less_relevant_than_a_sentence_where_no_reference_shows_it(
    score: Score,
) -> None:
    asked = {"question": "When was the bridge built?", "references": ()}
    assert score("1969.", **asked)["relevance"] < 0.5
    assert score("The bridge was built in 1969.", **asked)["relevance"] > 0.7


def test_a_wrong_answer_in_the_words_of_the_question_is_relevant(score: Score) -> None:
    wrong = "You can return a jacket for 90 years and it costs a fortune."
    assert score(wrong, references=())["relevance"] > 0.7
    assert score(OTHER)["relevance"] + 0.2 < score(wrong)["relevance"] < 0.7


def test_roles_that_change_places_are_hardly_noticed(score: Score) -> None:
    given = {"question": "Who sued?", "references": ("Alba Ltd sued Brenn Corp in May.",)}
    right = score("Alba Ltd sued Brenn Corp in May.", **given)["coverage"]
    swapped = score("Brenn Corp sued Alba Ltd in May.", **given)["coverage"]
    assert 0.3 < swapped < right


def test_other_words_count_less_than_a_copy(score: Score) -> None:
    free = (
        "There is a month's time to send back outerwear. Nothing is charged within the country; "
        "abroad, a dozen euros are withheld."
    )
    assert score(OTHER)["coverage"] <= score(free)["coverage"] < score(REFERENCE)["coverage"] - 0.3


def test_another_language_is_taken_for_something_else(score: Score) -> None:
    assert score("Jacken können binnen 30 Tagen zurückgegeben werden.")["coverage"] < 0.5


def test_facts_put_together_wrongly_are_taken_for_supported(score: Score) -> None:
    mixed = "Underwear may be returned within 30 days of delivery."
    assert score(mixed)["faithfulness"] > 0.5


def test_what_is_true_but_in_no_passage_is_not_supported(score: Score) -> None:
    assert score("Water boils at 100 degrees Celsius at sea level.")["faithfulness"] < 0.2
