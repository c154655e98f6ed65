"""Reliability: the share of examples that a release answered, or declined to.

What counts against it is a failure of the release: no prediction, an error, an empty answer where
one was due. A question that has no answer may be met with silence. Range 0 to 1, best 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from model_pipeline.evaluation.examples import Pair
from model_pipeline.evaluation.measured import Measured, mean

NAME = "reliability"
EMPTY = "The answer is empty."
UNTOLD = "It failed without a reason."
LONGEST = 300  # characters of a failure's name: an error may quote what it failed on


def failure(pair: Pair) -> str | None:
    """Why the release has no answer to this example; None where it has one, or declined."""
    prediction = pair.prediction
    if prediction.error is not None:
        return prediction.error.strip()[:LONGEST] or UNTOLD
    due = not prediction.declined and pair.example.answerable is not False
    return EMPTY if due and not prediction.answer.strip() else None


def reliability(pairs: Sequence[Pair]) -> list[Measured]:
    return [mean(NAME, "reliability|v1", [float(failure(pair) is None) for pair in pairs])]
