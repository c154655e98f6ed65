import math

import numpy as np
import pytest

from model_pipeline.evaluation.bootstrap import compare
from model_pipeline.evaluation.citations import citations
from model_pipeline.evaluation.examples import Example, Pair, Prediction, Quoted, Retrieved
from model_pipeline.evaluation.measured import Measured
from model_pipeline.evaluation.ranking import NOT_GRADED

PASSAGES = (Retrieved("a", "Defaults are evaluated once."), Retrieved("b", "Never twice."))


def pair(
    cited: str,
    relevant: dict[str, int] | None,
    *,
    answerable: bool | None = True,
    declined: bool = False,
    error: str | None = None,
) -> Pair:
    quoted = tuple(Quoted(source, "evaluated once") for source in cited)
    prediction = Prediction("1", "An answer.", declined, PASSAGES, quoted, error=error)
    return Pair(Example("1", "?", relevant=relevant, answerable=answerable), prediction)


def measured(*pairs: Pair) -> dict[str, Measured]:
    return {one.name: one for one in citations(pairs)}


def test_precision_is_of_all_citations_and_recall_of_all_answers() -> None:
    found = measured(pair("abb", {"a": 1}), pair("a", {"a": 2}), pair("b", {"a": 1, "b": 0}))
    assert found["citation_precision"].figure() == pytest.approx(2 / 5)
    assert found["citation_precision"].each().tolist() == pytest.approx([1 / 3, 1, 0])
    assert found["citation_recall"].figure() == pytest.approx(2 / 3)


def test_an_answer_that_cites_nothing_or_failed_lacks_recall() -> None:
    nothing, failed = pair("", {"a": 1}), pair("", {"a": 1}, error="It took too long.")
    found = measured(pair("a", {"a": 1}), nothing, failed)
    assert found["citation_recall"].figure() == pytest.approx(1 / 3)
    assert found["citation_precision"].figure() == 1.0
    assert math.isnan(found["citation_precision"].each()[1])


def test_a_declined_answer_is_no_answer() -> None:
    found = measured(pair("a", {"a": 1}), pair("", {"a": 1}, declined=True))
    assert found["citation_recall"].figure() == 1.0
    assert found["citation_recall"].failures == {}


def test_nothing_is_relevant_to_a_question_without_an_answer() -> None:
    found = measured(pair("a", {"a": 1}), pair("ab", None, answerable=False))
    assert found["citation_precision"].figure() == pytest.approx(1 / 3)
    assert found["citation_recall"].scored.tolist() == [True, False]


def test_where_nobody_has_said_what_is_relevant_only_quotes_are_checked() -> None:
    found = measured(pair("a", None))
    for name in ("citation_precision", "citation_recall"):
        assert found[name].failures == {0: NOT_GRADED} and math.isnan(found[name].figure())
    assert found["quote_validity"].figure() == 1.0


def test_a_quote_stands_letter_for_letter_in_a_passage_of_its_source() -> None:
    quotes = [
        ("a", "evaluated once"),
        ("b", "evaluated once"),  # another's words
        ("a", "Evaluated once"),
        ("c", "evaluated once"),  # never retrieved
        ("a", ""),
        ("a", "  "),
    ]
    given = Prediction("1", "x", False, PASSAGES, tuple(Quoted(*one) for one in quotes))
    found = measured(Pair(Example("1", "?"), given))["quote_validity"]
    assert found.statistics.tolist() == [[1, 6]]


def test_releases_are_compared_over_all_examples_also_where_one_cites_nothing() -> None:
    right = {"a": 1}
    a = measured(*[pair("ab", right), pair("", right), pair("b", right)] * 10)
    b = measured(*[pair("a", right), pair("a", right), pair("b", right)] * 10)
    found = compare(a["citation_precision"], b["citation_precision"], seed=0)
    assert (found.n, found.difference) == (30, pytest.approx(2 / 3 - 1 / 3))
    assert found.interval.low > 0 and found.p < 0.05
    single = np.array([0.5, 0.0] * 10)  # of those where both cite
    assert found.effect == pytest.approx(single.mean() / single.std(ddof=1))
