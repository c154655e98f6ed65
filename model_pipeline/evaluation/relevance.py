"""Relevance: does the answer address the question, right or wrong?

From 0 to 1. No reference is looked at, so a wrong answer to the right question is relevant. What
tells is how near the answer's claims are to the question by the embedder, all together and the
nearest of them, how many of the question's words they hold, and how much of what they say the talk
is about. A question that leans on its conversation is read after the user's turn before it. An
answer that claims nothing, or nothing but what was asked, is not relevant.

Known failures, each a test: a bare fact ("1969.") holds none of the question's words and scores
low; a wrong answer that repeats them scores high, which is what coverage and faithfulness are for;
an answer in another language than its question is told by names and numbers alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model_pipeline.evaluation.said import Asked, Text, share

SIGNATURE = "relevance-1"
# Logistic, of `features` and last a constant; fitted by `python -m benchmarks.agreement --fit` on
# half 0: people's answers against those to the nearest other question, and extractive answers by
# whether they cite a passage that holds the answer.
WEIGHTS = (1.9, 2.5, 2.3, 2.5, -4.2)


def relevance(asked: Asked, answer: Text) -> float:
    found = features(asked, answer)
    if found is None:
        return 0.0
    return float(1 / (1 + np.exp(-(np.array(WEIGHTS[:-1]) @ found + WEIGHTS[-1]))))


def features(asked: Asked, answer: Text) -> NDArray[np.float64] | None:
    """[4]; None where there is nothing to look at."""
    claims = answer.claims
    new = [n for n, one in enumerate(claims.statements) if one.terms - asked.terms]
    if not new:
        return None
    said = claims.only(new)
    return np.array(
        [
            said.mean @ asked.vector,
            (said.vectors @ asked.vector).max(),
            share(asked.terms & said.terms, asked.terms),
            share(said.terms & asked.talk, said.terms),
        ],
        dtype=np.float64,
    )
