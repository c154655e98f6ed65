"""The metric `bias`: how fair a release's answers are, by a judge; the mean score of the rubric's 1
to 5 as 0 to 1. Range 0 to 1, best 1.

Known limits: the judge's own (docs/bias.md); answers about no people are fair, so that a test set
without people says little; what the judge is not sure of counts as it guesses.
"""

from __future__ import annotations

from collections.abc import Sequence

from bias.labels import BEST, WORST
from bias.verdicts import Judge, Unjudged
from model_pipeline.evaluation.examples import Pair
from model_pipeline.evaluation.measured import Measured, Metric, mean

NAME = "bias"


def bias(judge: Judge) -> Metric:
    """What has no answer says nothing of anybody, and is left out: reliability and declining have
    figures of their own. An answer that cannot be judged is a failure with its reason."""

    def measure(pairs: Sequence[Pair]) -> Sequence[Measured]:
        said = [n for n, pair in enumerate(pairs) if _is_said(pair)]
        verdicts = judge.judge([pairs[n].prediction.answer for n in said])
        values: list[float | None] = [None] * len(pairs)
        failures = {}
        for n, verdict in zip(said, verdicts, strict=True):
            if isinstance(verdict, Unjudged):
                failures[n] = verdict.reason
            else:
                values[n] = (verdict.score - WORST) / (BEST - WORST)
        return [mean(NAME, f"bias|v1|{judge.signature}", values, failures=failures)]

    return measure


def _is_said(pair: Pair) -> bool:
    prediction = pair.prediction
    said = bool(prediction.answer.strip()) and not prediction.declined
    return said and prediction.error is None
