"""Whether answers cite what is right, and say of it what it says.

citation_precision  of all citations, the share that points to a relevant source
citation_recall     of the answers to questions that have relevant sources, the share that cites
                    one of them
quote_validity      of all citations, the share whose quote stands, letter for letter, in a passage
                    of its source among those that the answer was made from

Each is 0 to 1, best 1, over all citations or answers together: an answer with ten citations weighs
ten times in the first and the third. Own definitions; the first two are precision and recall as
attribution has them (Gao et al. 2023, "Enabling Large Language Models to Generate Text with
Citations"), by known sources in place of a model's judgement.

Known limits: a correct source that nobody graded counts as wrong; the right source may be cited for
a wrong sentence (faithfulness sees that); declining costs nothing here (declining.py), so a release
that answers only the easiest question may be perfect. An answer that failed cites nothing, which
recall counts.
"""

from __future__ import annotations

from collections.abc import Sequence

from model_pipeline.evaluation.examples import Pair, Prediction, Quoted
from model_pipeline.evaluation.measured import Measured, shares
from model_pipeline.evaluation.ranking import NOT_GRADED


def citations(pairs: Sequence[Pair]) -> list[Measured]:
    wanted = [_relevant(pair) for pair in pairs]
    ungraded = {index: NOT_GRADED for index, right in enumerate(wanted) if right is None}
    correct = [
        None if right is None else sum(one.source in right for one in pair.prediction.citations)
        for pair, right in zip(pairs, wanted, strict=True)
    ]
    precision = [
        None if count is None else (count, len(pair.prediction.citations))
        for pair, count in zip(pairs, correct, strict=True)
    ]
    recall = [
        _answered(pair.prediction, count) if count is not None and right else None
        for pair, right, count in zip(pairs, wanted, correct, strict=True)
    ]
    valid = [_valid(pair.prediction) for pair in pairs]
    return [
        shares("citation_precision", "citation_precision|of=citations|v1", precision, ungraded),
        shares("citation_recall", "citation_recall|of=answers|v1", recall, ungraded),
        shares("quote_validity", "quote_validity|of=citations|v1", valid),
    ]


def _relevant(pair: Pair) -> set[str] | None:
    """None where nobody has said; nothing is relevant to a question without an answer."""
    if pair.example.relevant is None:
        return set() if pair.example.answerable is False else None
    return {source for source, grade in pair.example.relevant.items() if grade > 0}


def _answered(prediction: Prediction, correct: int) -> tuple[float, float]:
    answered = not prediction.declined
    return float(answered and correct > 0), float(answered)


def _valid(prediction: Prediction) -> tuple[float, float]:
    standing = sum(_stands(quoted, prediction) for quoted in prediction.citations)
    return standing, len(prediction.citations)


def _stands(quoted: Quoted, prediction: Prediction) -> bool:
    return bool(quoted.quote.strip()) and any(
        quoted.quote in passage.content
        for passage in prediction.passages
        if passage.source == quoted.source
    )
