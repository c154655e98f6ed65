"""Coverage: how much of what the reference says does the answer carry?

From 0 to 1; the best of several references. How near the two are as wholes by the embedder, how
many words they share beyond the question's own (by the geometric mean of both shares, so that a
long answer does not hold them by chance), and how many of the reference's pairs of neighbouring
words the answer has. A monotone map makes of it the share that is carried. A claim of the reference
that the answer says with another number, another name or denied counts for nothing.

Without a reference it is the few sentences of the passages that bear on the question that should be
carried: a weaker measure, since nobody said that they answer it.

Known failures, each a test: what is said in quite other words counts less than what is copied;
roles that change places ("A sued B", "B sued A") are told by neighbouring words alone.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from model_pipeline.evaluation.said import Asked, Statement, Text, share

SIGNATURE = "coverage-1"
# Of `features`; fitted by `python -m benchmarks.agreement --fit` on half 0: extractive answers by
# whether they cite a passage that holds the answer.
WEIGHTS = (1.7, 3.2, 2.3)
# What is weighed, to the share that is carried: isotonic on the same half, of references with a
# part of their sentences removed, of answers to other questions, and of the extractive answers.
WEIGHED = (0.0, 1.03, 2.06, 3.09, 4.11, 5.14, 6.17, 7.2)
CARRIED = (0.0, 0.14, 0.46, 0.6, 0.6, 0.62, 0.77, 0.98)
# Two sentences are of the same thing where one holds most of the other's words; from the first to
# the second share, ever more.
SAME = (0.7, 0.9)
EVIDENCE = 4


def coverage(asked: Asked, reference: Text, answer: Text) -> float:
    if not reference.claims.statements and reference.declines:
        return float(answer.declines and not answer.claims.statements)
    # A reference that only asks back is carried by asking the same.
    wanted, said = (
        (reference.claims, answer.claims)
        if reference.claims.statements
        else (_worded(reference), _worded(answer))
    )
    if not wanted.statements or not said.statements:
        return 0.0
    if wanted.terms - asked.terms and not said.terms - asked.terms:
        return 0.0  # the question again
    carried = np.interp(np.array(WEIGHTS) @ features(asked, wanted, said), WEIGHED, CARRIED)
    return float(carried) * (1 - _contradicted(asked, wanted, said))


def features(asked: Asked, wanted: Text, said: Text) -> NDArray[np.float64]:
    """[3], each at most 1."""
    new, given = wanted.terms - asked.terms, said.terms - asked.terms
    same = len(new & given)
    held = [share(one.bigrams & said.bigrams, one.bigrams) for one in wanted.statements]
    return np.array(
        [
            wanted.mean @ said.mean,
            same / math.sqrt(max(1, len(new)) * max(1, len(given))),
            wanted.weights @ np.array(held),
        ],
        dtype=np.float64,
    )


def evidence(asked: Asked, passages: Text) -> Text:
    """The claims of the passages that bear on the question, in their order."""
    claims = passages.claims
    if not claims.statements:
        return claims
    held = [share(one.terms & asked.terms, asked.terms) for one in claims.statements]
    bears = claims.vectors @ asked.vector + np.array(held)
    return claims.only(sorted(np.argsort(-bears, kind="stable")[:EVIDENCE].tolist()))


def _contradicted(asked: Asked, wanted: Text, said: Text) -> float:
    """The share of what is wanted that is said of the same thing otherwise."""
    otherwise = [_otherwise(asked, one, said) for one in wanted.statements]
    return float(wanted.weights @ np.array(otherwise))


def _otherwise(asked: Asked, claim: Statement, said: Text) -> float:
    words = frozenset(term for term in claim.terms if not term.isdigit())
    best = max(said.statements, key=lambda one: len(words & one.terms))
    low, high = SAME
    same = min(1.0, max(0.0, (share(words & best.terms, words) - low) / (high - low)))
    if not same:
        return 0.0
    counted = claim.numbers - asked.numbers
    return same * max(
        share(counted - best.numbers, counted),
        float(claim.denies != best.denies),
        float(bool(claim.names - said.terms - asked.terms)),
    )


def _worded(text: Text) -> Text:
    return text.only([n for n, one in enumerate(text.statements) if one.terms])
