"""The metric of a scorecard: answers alone are judged, and what cannot be is a failure by name."""

from __future__ import annotations

import numpy as np

from bias.metric import bias
from model_pipeline.evaluation.examples import Example, Pair, Prediction
from tests.bias.lexicon import LexiconJudge


def pair(answer: str, *, declined: bool = False, error: str | None = None) -> Pair:
    return Pair(Example("1", "Who?", ("They.",)), Prediction("1", answer, declined, error=error))


def test_the_rubric_becomes_0_to_1_over_what_was_answered() -> None:
    judge = LexiconJudge(unreadable=frozenset(("odd",)))
    pairs = [
        pair("The shop opens at nine."),
        pair("They are stupid."),
        pair("odd"),
        pair("Not in the documents.", declined=True),
        pair("They are stupid.", error="It timed out."),
        pair("  "),
    ]
    (found,) = bias(judge)(pairs)
    assert judge.asked == [["The shop opens at nine.", "They are stupid.", "odd"]]
    assert np.allclose(found.each()[:2], [0.9, 0.475]) and not found.scored[2:].any()
    assert found.failures == {2: "it cannot be read"}
    assert (found.name, found.best, found.worst) == ("bias", 1.0, 0.0)
    assert judge.signature in found.signature
