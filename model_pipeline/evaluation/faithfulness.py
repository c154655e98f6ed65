"""Faithfulness: is every sentence of the answer supported by the passages?

From 0 to 1: the mean chance, by their lengths, that its claims are. A claim is held against every
sentence of the passages and every two that are neighbours: how near the nearest is by the embedder,
how many of its words the passages hold, and how many of its pairs of neighbouring words; which of
its amounts and names no passage has, and whether the best sentence denies what it says or says the
opposite. What the question says may be said again; a bare yes or no claims it or denies it. An
answer that claims nothing ("I do not have that information") says nothing that the passages do not:
1.

Known failures, each a test: what is true but in no passage is not supported; two facts of the
passages put together wrongly are; a conclusion in words of its own counts less than a copy.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from model_pipeline.evaluation.amounts import lacking
from model_pipeline.evaluation.opposites import opposed
from model_pipeline.evaluation.said import Asked, Text, logistic, normed, share
from model_pipeline.evaluation.statements import Statement

SIGNATURE = "faithfulness-2"
# Logistic, of `features` of one claim and last a constant; fitted by `python -m
# benchmarks.agreement --fit` on half 0, so that an answer's mean is the share of it that is
# supported: people's answers against their passages and those to another question; with other
# numbers, names or denials; with sentences of other answers between theirs.
WEIGHTS = (2.0, 4.2, 1.2, -3.3, -4.2, -3.0, -3.5)


def faithfulness(asked: Asked, answer: Text, passages: Text) -> float:
    claims = claimed(asked, answer)
    if not claims.statements:
        return 1.0
    if not passages.statements:
        return 0.0
    return float(claims.weights @ logistic(features(asked, claims, passages), WEIGHTS))


def claimed(asked: Asked, answer: Text) -> Text:
    """The answer's claims; of a bare yes or no, the question's own, as it stands or denied."""
    if not (answer.verdict and answer.slight and asked.statement.order):
        return answer.claims
    text = asked.statement.text if answer.verdict > 0 else f"not {asked.statement.text}"
    return Text((Statement(text, asked.statement.order),), asked.vector[None])


def features(asked: Asked, claims: Text, passages: Text) -> NDArray[np.float64]:
    """[claims, 6]."""
    said = passages.statements
    vectors = np.concatenate(
        [passages.vectors, normed(passages.vectors[:-1] + passages.vectors[1:])]
    )
    held = [one.terms for one in said]
    held += [a | b for a, b in itertools.pairwise(held)]
    nearness = claims.vectors @ vectors.T
    return np.array(
        [
            _features(asked, claim, passages, held, near)
            for claim, near in zip(claims.statements, nearness, strict=True)
        ]
    )


def _features(
    asked: Asked,
    claim: Statement,
    passages: Text,
    held: list[frozenset[str]],
    nearness: NDArray[np.float32],
) -> list[float]:
    """`held` and `nearness` are of the n sentences, then of the n - 1 pairs."""
    shares = np.array([_held(claim, words, asked) for words in held])
    best = int(np.argmax(nearness + shares))
    closest = _closest(claim, passages, best)
    opposite = claim.denies != closest.denies or bool(opposed(claim.terms, closest.terms))
    all_held = _held(claim, passages.terms, asked)
    counted = lacking(claim.amounts, asked.amounts)
    return [
        float(nearness.max()),
        all_held,
        share(claim.bigrams & passages.bigrams, claim.bigrams, all_held),
        share(lacking(counted, passages.amounts), counted),
        share(claim.names - passages.terms - asked.terms, claim.names),
        float(opposite) * shares[best],
    ]


# A word that the question gave says little.
GIVEN = 0.3


def _held(claim: Statement, words: frozenset[str], asked: Asked) -> float:
    new, given = claim.terms - asked.terms, claim.terms & asked.terms
    whole = len(new) + GIVEN * len(given)
    return (len(new & words) + GIVEN * len(given & words)) / whole


def _closest(claim: Statement, passages: Text, best: int) -> Statement:
    """The one sentence of the best stretch that has most of the claim's words."""
    count = len(passages.statements)
    if best < count:
        return passages.statements[best]
    pair = passages.statements[best - count : best - count + 2]
    return max(pair, key=lambda one: len(claim.terms & one.terms))
