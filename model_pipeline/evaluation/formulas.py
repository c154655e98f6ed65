"""How a metric's sums become its figure, by the metric's name: what a file cannot hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from model_pipeline.evaluation import bleu, latency, perplexity
from model_pipeline.evaluation.measured import Measured, ratio

Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]


def restored(
    name: str, signature: str, statistics: Numbers, scored: Mask, *, best: float, worst: float
) -> Measured:
    """The metric `name` as it was measured, without its failures. One that is not named here is a
    ratio of two sums."""
    if name in {f"bleu_{n}" for n in bleu.ORDERS}:
        found = bleu.measured(statistics, scored, {})[int(name[-1]) - 1]
    elif name in latency.QUANTILES:
        q, alone = latency.QUANTILES[name], latency.alone
        found = latency.Quantile(name, signature, statistics, scored, alone, best, worst, {}, q)
    else:
        combine = perplexity.FORMULAS.get(name, ratio)
        found = Measured(name, signature, statistics, scored, combine, best, worst)
    return replace(found, signature=signature, best=best, worst=worst)
