"""What failed in an evaluation, whoever failed: what the exit status goes by."""

from __future__ import annotations

from model_pipeline.evaluation.declining import NOT_SAID
from model_pipeline.evaluation.latency import NOT_MEASURED
from model_pipeline.evaluation.meaning import NO_PASSAGES, NOTHING_WANTED, OTHER_SCRIPT
from model_pipeline.evaluation.ranking import NOT_GRADED
from model_pipeline.evaluation.scorecard import Scorecard

LACKING = {NO_PASSAGES, NOTHING_WANTED, NOT_GRADED, NOT_MEASURED, NOT_SAID, OTHER_SCRIPT}


def failures(card: Scorecard) -> dict[str, list[str]]:
    """By name, the ids of the examples: failures of the release, and what a metric could not score.

    What a metric needs and all that was answered lacks (grades of sources, measured times) is no
    example's failure. All else is, be it every example's: references, since a test set without any
    measures no answer, and a judge that never replied.
    """
    found = {name: list(ids) for name, ids in card.failures().items()}
    failed = {example_id for ids in found.values() for example_id in ids}
    answered = [
        row.failure is None and not row.declined and row.answerable is not False
        for row in card.rows
    ]
    for measured in card.measured:
        for why, ids in card.unscored(measured).items():
            if why in LACKING:
                lacking = not (measured.scored & answered).any()
                ids = [] if lacking else [one for one in ids if one not in failed]
            if ids:
                found[why] = list(dict.fromkeys([*found.get(why, []), *ids]))
    return found
