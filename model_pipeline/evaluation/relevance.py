"""Relevance: does the answer address the question, right or wrong?

From 0 to 1. How near the answer is to the question by the embedder (its claims together, the
nearest of them, and the text as it stands), and how many of the question's words they hold. The
question is read alone and after the user's turn before it. A reference shows what addresses the
question: where there is one, an answer that speaks of the same is relevant without the question's
words ("1969."). An answer that claims nothing, or nothing but what was asked, is not relevant, but
for a bare yes or no where that was asked; to decline is where the reference does.

Known failures, each a test: without a reference a wrong answer in the words of the question scores
high, which is what faithfulness is for, and a bare fact low; with one a wrong answer scores lower
than a right one; an answer in another language than its question is told by names and amounts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model_pipeline.evaluation.said import Asked, Text, bare, logistic, shared

SIGNATURE = "relevance-2"
# Logistic, of `of_question` and, where there is a reference, of `of_reference` behind it; last a
# constant. Fitted by `python -m benchmarks.agreement --fit` on half 0.
WEIGHTS = (0.8, 1.5, 2.5, 0.4, 1.6, -3.8)
WITH_REFERENCE = (0.6, 0.0, 1.0, 0.2, 0.3, 1.0, 1.8, 2.4, 3.5, -4.8)
# What the question alone may show beside a reference: an answer that is wrong, or right in its own
# way, addresses the question, too.
ALONE = 1 / 3
# What a bare yes or no is worth where one was asked for: it tells no more than that.
BARE = 0.7


def relevance(asked: Asked, answer: Text, references: Sequence[Text] = ()) -> float:
    if answer.declines and not answer.claims.statements:
        return float(any(one.declines and not one.claims.statements for one in references))
    if bare(asked, answer):
        return BARE
    told = told_of(asked, answer)
    if told is None:
        return float(asked.statement.polite and any(one.polite for one in answer.statements))
    found = of_question(asked, answer, told)
    alone = float(logistic(found, WEIGHTS))
    if not references:
        return alone
    beside = [np.append(found, of_reference(asked, answer, told, one)) for one in references]
    shown = float(max(logistic(one, WITH_REFERENCE) for one in beside))
    return 1 - (1 - shown) * (1 - ALONE * alone)


def told_of(asked: Asked, answer: Text) -> Text | None:
    """The claims that say more than was asked; None where there are none."""
    claims = answer.claims
    new = [n for n, one in enumerate(claims.statements) if one.terms - asked.terms]
    return claims.only(new) if new else None


def of_question(asked: Asked, answer: Text, told: Text) -> NDArray[np.float64]:
    """[5], of an answer and what it told."""
    return np.array(
        [
            told.mean @ asked.after_turn,
            (told.vectors @ asked.after_turn).max(),
            len(asked.terms & told.terms) / max(1, len(asked.terms)),
            (told.vectors @ asked.vector).max(),
            answer.whole @ asked.vector,
        ],
        dtype=np.float64,
    )


def of_reference(asked: Asked, answer: Text, told: Text, reference: Text) -> NDArray[np.float64]:
    """[4]: how near as wholes and by their statements, and the words they share."""
    if not reference.statements:
        return np.zeros(4)
    wanted = reference.claims if reference.claims.statements else reference
    return np.array(
        [answer.whole @ reference.whole, wanted.mean @ told.mean, *shared(asked, wanted, told)],
        dtype=np.float64,
    )
