"""Coverage: how much of what the reference says does the answer carry?

From 0 to 1; the best of several references. How near the two are as wholes and by their sentences,
how many of the reference's words the answer has beyond the question's own (as a share of the
reference's, so that a long answer may hold a short reference, and of both), of its pairs of
neighbouring words, and of its names and amounts. A claim of the reference that the answer makes
with another amount or name, denied or by the opposite word counts for nothing; so does a yes for a
no.

Without a reference it is the few sentences of the passages that bear on the question that should be
carried: a weaker measure, since nobody said that they answer it.

Known failures, each a test: what is said in quite other words counts less than what is copied;
roles that change places ("A sued B", "B sued A") are told by neighbouring words alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model_pipeline.evaluation.amounts import UNITS, lacking
from model_pipeline.evaluation.opposites import opposed
from model_pipeline.evaluation.said import Asked, Text, bare, logistic, share, shared
from model_pipeline.evaluation.statements import Statement
from model_pipeline.text.words import stems

SIGNATURE = "coverage-2"
# Logistic, of `features` and last a constant; fitted by `python -m benchmarks.agreement --fit` on
# half 0.
WEIGHTS = (1.1, 0.9, 0.9, 2.3, 2.1, 1.4, -3.0)
# Two sentences are of the same thing where one holds most of the other's words; from the first to
# the second share, ever more. What is denied or swapped may only be told where the other holds
# little else.
SAME = (0.7, 0.9)
BACK = (0.5, 0.8)
FEWEST = 2
UNIT_WORDS = frozenset(stems(list(UNITS)))
EVIDENCE = 4
# Of a reference that declines, by what declines and goes on; of one that gives a yes or a no and
# its reasons, by a bare one.
IN_PART = 0.5


def coverage(asked: Asked, reference: Text, answer: Text) -> float:
    if not reference.claims.statements and reference.declines:
        return 0.0 if not answer.declines else IN_PART if answer.claims.statements else 1.0
    # A reference that only asks back is carried by asking the same.
    wanted, said = (
        (reference.claims, answer.claims)
        if reference.claims.statements
        else (_worded(reference), _worded(answer))
    )
    if not wanted.statements or not said.statements:
        return 0.0
    if reference.verdict * answer.verdict < 0:
        return 0.0
    if bare(asked, reference) or bare(asked, answer):
        whole = 1.0 if bare(asked, reference) else IN_PART
        return whole * (_stance(asked, reference) == _stance(asked, answer))
    if wanted.terms - asked.terms and not said.terms - asked.terms:
        return 0.0  # the question again
    carried = float(logistic(features(asked, wanted, said), WEIGHTS))
    return carried * (1 - contradicted(asked, wanted, said))


def features(asked: Asked, wanted: Text, said: Text) -> NDArray[np.float64]:
    """[6], each at most 1."""
    recalled, both = shared(asked, wanted, said)
    held = [share(one.bigrams & said.bigrams, one.bigrams, recalled) for one in wanted.statements]
    amounts = lacking(wanted.amounts, asked.amounts)
    names = wanted.names - asked.terms
    lost = len(lacking(amounts, said.amounts)) + len(names - said.terms)
    facts = len(amounts) + len(names)
    return np.array(
        [
            wanted.mean @ said.mean,
            wanted.whole @ said.whole,
            recalled,
            both,
            wanted.weights @ np.array(held),
            1 - lost / facts if facts else recalled,
        ],
        dtype=np.float64,
    )


def evidence(asked: Asked, passages: Text) -> Text:
    """The claims of the passages that bear on the question, in their order."""
    claims = passages.claims
    if not claims.statements:
        return claims
    held = [share(one.terms & asked.terms, asked.terms) for one in claims.statements]
    bears = claims.vectors @ asked.after_turn + np.array(held)
    chosen = claims.only(sorted(np.argsort(-bears, kind="stable")[:EVIDENCE].tolist()))
    return Text(chosen.statements, chosen.vectors)


def contradicted(asked: Asked, wanted: Text, said: Text) -> float:
    """The share of what is wanted that is said of the same thing otherwise."""
    otherwise = [_otherwise(asked, one, wanted, said) for one in wanted.statements]
    return float(wanted.weights @ np.array(otherwise))


def _otherwise(asked: Asked, claim: Statement, wanted: Text, said: Text) -> float:
    words = _words(claim)
    best = max(said.statements, key=lambda one: len(words & one.terms))
    opposite = opposed(claim.terms, best.terms)
    same = _ramp(share(words & (best.terms | opposite), words), *SAME)
    if not same:
        return 0.0
    theirs = _words(best)
    back = same * _ramp(share(theirs & (claim.terms | opposed(theirs, claim.terms)), theirs), *BACK)
    counted = lacking(claim.amounts, asked.amounts)
    return max(
        same * share(lacking(counted, said.amounts), counted),
        same * float(bool(claim.names - said.terms - asked.terms)),
        back * float(claim.denies != best.denies or bool(opposite)),
        back * float(_swapped(asked, claim, wanted, best)),
    )


def _words(claim: Statement) -> frozenset[str]:
    """Those to know it by: its amounts aside, and its names where that leaves enough."""
    words = frozenset(one for one in claim.terms - UNIT_WORDS if not one[0].isdigit())
    return words - claim.names if len(words - claim.names) >= FEWEST else words


def _ramp(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low)))


def _swapped(asked: Asked, claim: Statement, wanted: Text, best: Statement) -> bool:
    """Whether a name or an amount, be it the question's, gave way to one from nowhere."""
    names = best.names - wanted.terms - asked.terms
    amounts = lacking(best.amounts, wanted.amounts | asked.amounts)
    return bool(
        (names and claim.names - best.terms) or (amounts and lacking(claim.amounts, best.amounts))
    )


def _stance(asked: Asked, text: Text) -> int:
    """1 where it says yes, -1 where it says no: by its first claim, if not in a word."""
    first = text.claims.statements[0]
    return text.verdict or (1 if first.denies == asked.statement.denies else -1)


def _worded(text: Text) -> Text:
    return text.only([n for n, one in enumerate(text.statements) if one.terms])
