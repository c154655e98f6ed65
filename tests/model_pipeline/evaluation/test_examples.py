from uuid import uuid4

import pytest

from model_pipeline.domain import Answer, Citation, Passage
from model_pipeline.errors import InvalidInput
from model_pipeline.evaluation.examples import (
    MISSING,
    Example,
    Prediction,
    Quoted,
    Retrieved,
    TestSet,
    paired,
)

FIRST = Example("a", "Who?", references=("Ada",))
SECOND = Example("b", "When?", answerable=False, tags={"topic": "time"})


def test_the_hash_is_of_the_examples_not_of_their_order_or_the_name() -> None:
    one = TestSet("one", (FIRST, SECOND))
    assert one.content_hash() == TestSet("two", (SECOND, FIRST)).content_hash()
    changed = Example("b", "When?", answerable=True, tags={"topic": "time"})
    assert one.content_hash() != TestSet("one", (FIRST, changed)).content_hash()


def test_a_test_set_without_examples_or_with_one_id_twice_is_refused() -> None:
    with pytest.raises(InvalidInput, match="empty"):
        TestSet("none", ())
    with pytest.raises(InvalidInput, match="two examples with the id a"):
        TestSet("twice", (FIRST, Example("a", "Where?")))


def test_pairs_follow_the_test_set_and_a_missing_prediction_says_so() -> None:
    pairs = paired(TestSet("t", (FIRST, SECOND)), [Prediction("b", "Then.")])
    assert [pair.example.example_id for pair in pairs] == ["a", "b"]
    assert pairs[0].prediction.error == MISSING
    assert pairs[1].prediction.answer == "Then."


def test_predictions_of_other_examples_or_two_of_one_are_refused() -> None:
    test_set = TestSet("t", (FIRST, SECOND))
    with pytest.raises(InvalidInput, match="two predictions for the example a"):
        paired(test_set, [Prediction("a"), Prediction("a")])
    with pytest.raises(InvalidInput, match="c among them"):
        paired(test_set, [Prediction("c")])


def test_an_answer_is_kept_as_a_prediction() -> None:
    ids = uuid4(), uuid4()
    passage = Passage(*ids, "a.md", "A", (), "Defaults are evaluated once.", {}, 40, 0.5)
    citation = Citation(1, "evaluated once", *ids, "a.md", "A", (), 53, 67)
    answer = Answer(uuid4(), "Once [1].", False, (citation,), (passage,), "release")
    assert Prediction.from_answer("a", answer) == Prediction(
        "a",
        "Once [1].",
        passages=(Retrieved("a.md", "Defaults are evaluated once."),),
        citations=(Quoted("a.md", "evaluated once"),),
    )
