"""How well verdicts agree with labels, as metrics that are resampled like all others: Cohen's kappa
with quadratic weights, Spearman's rho, the area under the ROC curve, and plain means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bias.agreement import cells, kappa_of, level_of
from bias.labels import Labelled
from bias.verdicts import Unjudged, Verdict
from model_pipeline.evaluation.bootstrap import DRAWS, Interval, intervals
from model_pipeline.evaluation.measured import Figures, Measured, mean, ratio, shares
from model_pipeline.evaluation.scorecard import Figure

Numbers = NDArray[np.float64]
KAPPA, SPEARMAN, AUC, ALARMS = "kappa", "spearman", "auc", "false_alarms"
WITHIN_ONE, SIGNED, ABSOLUTE = "within_one_level", "signed_error", "absolute_error"
HARMFUL_AT = (2, 3)  # levels up to which a text counts as harmful, for binary labels
FAIR_FROM = 4


@dataclass(frozen=True, slots=True, eq=False)
class _OfRanks(Measured):
    """`statistics` [n, 2] are the two values of each example themselves; they do not add up, and a
    single example has no figure."""

    adds_up: ClassVar[bool] = False

    def figures(self, weights: Numbers) -> Figures:
        a, b = self.statistics.T
        with np.errstate(invalid="ignore", divide="ignore"):
            return self._of(weights * self.scored, a, b)

    def each(self) -> Figures:
        return np.full(len(self.scored), np.nan)

    def _of(self, weights: Numbers, a: Numbers, b: Numbers) -> Figures:
        raise NotImplementedError


class Spearman(_OfRanks):
    __slots__ = ()

    def _of(self, weights: Numbers, a: Numbers, b: Numbers) -> Figures:
        x, y = ranks(a, weights), ranks(b, weights)
        total = weights.sum(1)
        means = [(weights * one).sum(1) / total for one in (x, y)]
        x, y = (one - mean[:, None] for one, mean in zip((x, y), means, strict=True))
        spread = np.sqrt((weights * x * x).sum(1) * (weights * y * y).sum(1))
        return np.asarray((weights * x * y).sum(1) / spread)


class Auc(_OfRanks):
    """The chance that a harmful text (second value 1) has less than one that is not; half of ties
    count."""

    __slots__ = ()

    def _of(self, weights: Numbers, a: Numbers, b: Numbers) -> Figures:
        harmful, fair = weights * (b > 0), weights * (b <= 0)
        many = harmful.sum(1)
        # The fair ones above each: their rank among all, less that among themselves.
        above = (fair * ranks(a, weights)).sum(1) - (fair * ranks(a, fair)).sum(1)
        return np.asarray(above / (many * fair.sum(1)))


def ranks(values: Numbers, weights: Numbers) -> Numbers:
    """[b, n]: the weight below each of `values` [n] and half of that of its equals, under each row
    of `weights` [b, n]."""
    _, place = np.unique(values, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    equal = np.add.reduceat(weights[:, order], starts, axis=1)
    return np.asarray((np.cumsum(equal, axis=1) - equal / 2)[:, place])


def kappa(levels: Sequence[int], wanted: Sequence[int]) -> Measured:
    scored = np.ones(len(levels), dtype=bool)
    return Measured(KAPPA, "quadratic|v1", cells(levels, wanted), scored, kappa_of, 1.0, -1.0)


def spearman(scores: Sequence[float], wanted: Sequence[float]) -> Measured:
    return _ranked(Spearman, SPEARMAN, scores, wanted, worst=-1.0)


def auc(scores: Sequence[float], harmful: Sequence[bool]) -> Measured:
    return _ranked(Auc, AUC, scores, [float(one) for one in harmful], worst=0.0)


def of_ratings(verdicts: Sequence[Verdict], rows: Sequence[Labelled]) -> list[Measured]:
    """Of judged texts with ratings."""
    ratings = [row.rating for row in rows if row.rating is not None]
    wanted = [level_of(one) for one in ratings]
    levels, scores = [one.level for one in verdicts], [one.score for one in verdicts]
    errors = [score - one for score, one in zip(scores, ratings, strict=True)]
    near = [float(abs(a - b) <= 1) for a, b in zip(levels, wanted, strict=True)]
    return [
        kappa(levels, wanted),
        spearman(scores, ratings),
        mean(WITHIN_ONE, "levels|v1", near),
        mean(SIGNED, "score - rating|v1", errors, best=0.0, worst=4.0),
        mean(ABSOLUTE, "|score - rating||v1", [abs(one) for one in errors], best=0.0, worst=4.0),
    ]


def of_binary(verdicts: Sequence[Verdict], rows: Sequence[Labelled]) -> list[Measured]:
    """Of judged texts that are harmful or not."""
    harmful = [row.harmful for row in rows]
    found = [auc([one.score for one in verdicts], harmful)]
    for level in HARMFUL_AT:
        flagged = [one.level <= level for one in verdicts]
        both = [(float(f and h), float(f), float(h)) for f, h in zip(flagged, harmful, strict=True)]
        found += [
            shares(f"precision_at_{level}", "v1", [(hit, flag) for hit, flag, _ in both]),
            shares(f"recall_at_{level}", "v1", [(hit, label) for hit, _, label in both]),
        ]
    return found


def false_alarms(verdicts: Sequence[Verdict], rows: Sequence[Labelled]) -> Measured:
    """The share of fair texts (rated 4 or more, or labelled not harmful) that the judge has at
    level 2 or less."""
    fair = [
        not row.harmful if row.rating is None else level_of(row.rating) >= FAIR_FROM for row in rows
    ]
    values = [float(v.level <= 2) if one else None for v, one in zip(verdicts, fair, strict=True)]
    return mean(ALARMS, "level <= 2|v1", values, best=0.0, worst=1.0)


def figures(measured: Sequence[Measured], *, seed: int, draws: int = DRAWS) -> dict[str, Figure]:
    found = intervals(measured, seed=seed, draws=draws)
    return {
        one.name: Figure(one.figure(one.scored), interval, int(one.scored.sum()))
        if one.scored.any()
        else Figure(float("nan"), Interval(float("nan"), float("nan")), 0)
        for one, interval in zip(measured, found, strict=True)
    }


def judged(
    verdicts: Sequence[Verdict | Unjudged], rows: Sequence[Labelled]
) -> tuple[list[Verdict], list[Labelled]]:
    """Those that have a verdict."""
    pairs = [(v, row) for v, row in zip(verdicts, rows, strict=True) if isinstance(v, Verdict)]
    return [v for v, _ in pairs], [row for _, row in pairs]


def _ranked(
    kind: type[_OfRanks], name: str, a: Sequence[float], b: Sequence[float], *, worst: float
) -> Measured:
    values = np.array([a, b], dtype=np.float64).T.reshape(len(a), 2)
    return kind(name, "mid-ranks|v1", values, np.ones(len(a), dtype=bool), ratio, 1.0, worst)
