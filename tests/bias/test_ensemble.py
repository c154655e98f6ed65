"""Judges together: averaged, unsure where they disagree, and open about who failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from bias.ensemble import Ensemble, Member
from bias.verdicts import Dimension, Evidence, Unjudged, Verdict
from tests.bias.lexicon import verdict


@dataclass
class Fixed:
    verdict: Verdict | Unjudged
    signature: str

    def judge(self, texts: Sequence[str]) -> list[Verdict | Unjudged]:
        return [self.verdict] * len(texts)


def together(*members: tuple[Verdict | Unjudged, float]) -> Verdict | Unjudged:
    named = [Member(Fixed(one, f"m{n}"), weight) for n, (one, weight) in enumerate(members)]
    return Ensemble(named).judge(["a text"])[0]


def test_probabilities_are_averaged_by_weight() -> None:
    found = together((verdict(2.0), 3.0), (verdict(3.0), 1.0))
    assert isinstance(found, Verdict)
    assert found.probabilities == (0, 0.75, 0.25, 0, 0)
    assert (found.score, found.level, found.sure) == (2.25, 2, True)


def test_who_disagrees_is_not_sure() -> None:
    found = together((verdict(1.0), 1.0), (verdict(4.0), 1.0))
    assert isinstance(found, Verdict) and not found.sure and "disagree" in found.reason
    found = together((replace(verdict(2.0), sure=False), 1.0), (verdict(2.0), 1.0))
    assert isinstance(found, Verdict) and not found.sure


def test_who_does_not_judge_is_named_and_all_of_them_are_no_verdict() -> None:
    found = together((verdict(2.0), 1.0), (Unjudged("it timed out"), 9.0))
    assert isinstance(found, Verdict) and found.score == 2.0 and not found.sure
    assert "One did not judge it: it timed out." in found.reason
    assert together((Unjudged("a"), 1.0), (Unjudged("b"), 1.0)) == Unjudged("a; b")


def test_the_nearest_speaks_and_evidence_does_not_overlap() -> None:
    one = replace(
        verdict(1.0, (Evidence(4, 8, "text"),)), reason="Harsh.", dimension=Dimension.DEROGATION
    )
    two = replace(verdict(2.0, (Evidence(0, 5, "a tex"), Evidence(0, 1, "a"))), reason="Mild.")
    found = together((one, 3.0), (two, 1.0))
    assert isinstance(found, Verdict)
    assert (found.reason, found.dimension) == ("Harsh.", Dimension.DEROGATION)
    assert [e.quote for e in found.evidence] == ["a", "text"]


def test_the_signature_tells_members_and_weights() -> None:
    found = Ensemble([Member(Fixed(verdict(3.0), "a|b"), 2.0), Member(Fixed(verdict(3.0), "c"))])
    assert found.signature == "ensemble-1|2*(a|b)+1*(c)"
    with pytest.raises(AssertionError):
        Ensemble([])
