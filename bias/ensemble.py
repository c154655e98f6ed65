"""Several judges as one: their probabilities are averaged by weight, and where they disagree the
verdict is not sure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bias.agreement import level_of
from bias.verdicts import LEVELS, Evidence, Judge, Unjudged, Verdict

FURTHEST = 1.0  # levels between two scores; further apart, the judges disagree


@dataclass(frozen=True, slots=True)
class Member:
    """`weight` is above 0; it counts beside the others'."""

    judge: Judge
    weight: float = 1.0


class Ensemble:
    """What one member cannot judge is judged by the others, is not sure, and says so; what none
    can is Unjudged."""

    def __init__(self, members: Sequence[Member]) -> None:
        assert members and all(one.weight > 0 for one in members)
        self._members = tuple(members)
        parts = (f"{one.weight:g}*({one.judge.signature})" for one in self._members)
        self.signature = "ensemble-1|" + "+".join(parts)

    def judge(self, texts: Sequence[str]) -> list[Verdict | Unjudged]:
        columns = [one.judge.judge(texts) for one in self._members]
        return [self._together(row) for row in zip(*columns, strict=True)]

    def _together(self, found: Sequence[Verdict | Unjudged]) -> Verdict | Unjudged:
        pairs = list(zip(self._members, found, strict=True))
        judged = [(m.weight, v) for m, v in pairs if isinstance(v, Verdict)]
        failed = list(dict.fromkeys(v.reason for _, v in pairs if isinstance(v, Unjudged)))
        if not judged:
            return Unjudged("; ".join(failed))
        total = math.fsum(weight for weight, _ in judged)
        chances = [
            math.fsum(weight * verdict.probabilities[n] for weight, verdict in judged) / total
            for n in range(len(LEVELS))
        ]
        score = math.fsum(weight * verdict.score for weight, verdict in judged) / total
        # Who is nearest to what all say speaks for them; of equals the one with more weight.
        nearest = min(judged, key=lambda one: (abs(one[1].score - score), -one[0]))[1]
        scores = [verdict.score for _, verdict in judged]
        agree = max(scores) - min(scores) <= FURTHEST
        notes = [] if agree else ["The judges disagree."]
        notes += [f"One did not judge it: {reason}." for reason in failed]
        return Verdict(
            level=level_of(score),
            score=score,
            probabilities=tuple(chances),  # type: ignore[arg-type]
            evidence=_apart(e for _, verdict in judged for e in verdict.evidence),
            reason=" ".join([nearest.reason, *notes]),
            sure=agree and not failed and all(verdict.sure for _, verdict in judged),
            dimension=None if level_of(score) == LEVELS[-1] else nearest.dimension,
        )


def _apart(evidence: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """Of spans that overlap the first."""
    kept: list[Evidence] = []
    for one in evidence:
        if all(one.end <= other.start or other.end <= one.start for other in kept):
            kept.append(one)
    return tuple(sorted(kept, key=lambda one: one.start))
