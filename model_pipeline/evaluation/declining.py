"""Whether a release declines where the documents have no answer, and only there.

declining_precision  of the questions it declined, the share that has no answer
declining_recall     of the questions without an answer, the share it declined

Each is 0 to 1, best 1, over the examples of which it is known whether they have an answer.
Precision has no value where nothing was declined, recall none where everything has an answer. Known
limits: whoever never declines has no precision, and whoever always does has a recall of 1: read
both. An error is not a declined answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from model_pipeline.evaluation.examples import Pair
from model_pipeline.evaluation.measured import Measured, shares

NOT_SAID = "nobody has said whether it has an answer"


def declining(pairs: Sequence[Pair]) -> list[Measured]:
    unknown = {
        index: NOT_SAID for index, pair in enumerate(pairs) if pair.example.answerable is None
    }
    precision: list[tuple[float, float] | None] = []
    recall: list[tuple[float, float] | None] = []
    for pair in pairs:
        known = pair.example.answerable is not None
        wanted = pair.example.answerable is False
        declined = pair.prediction.declined and pair.prediction.error is None
        rightly = float(declined and wanted)
        precision.append((rightly, declined) if known else None)
        recall.append((rightly, wanted) if known else None)
    return [
        shares("declining_precision", "declining_precision|v1", precision, unknown),
        shares("declining_recall", "declining_recall|v1", recall, unknown),
    ]
