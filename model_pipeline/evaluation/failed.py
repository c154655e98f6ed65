"""What failed in an evaluation, whoever failed: what the exit status goes by."""

from __future__ import annotations

from model_pipeline.evaluation.scorecard import Scorecard
from model_pipeline.evaluation.text_metrics import NO_REFERENCE


def failures(card: Scorecard) -> dict[str, list[str]]:
    """By name, the ids of the examples: failures of the release, and what a metric could not score.

    What a metric needs and the whole test set lacks (grades of sources, measured times) is no
    example's failure; references are, since a test set without any measures no answer.
    """
    found = {name: list(ids) for name, ids in card.failures().items()}
    all_with_answers = {row.example_id for row in card.rows if row.answerable is not False}
    for measured in card.measured:
        for why, ids in card.unscored(measured).items():
            if why == NO_REFERENCE or not all_with_answers <= set(ids):
                found[why] = list(dict.fromkeys([*found.get(why, []), *ids]))
    return found
