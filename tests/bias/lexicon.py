"""A small judge that is real: it counts harsh words and sweeping ones, and takes no heed of whom a
text names."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from bias.agreement import level_of
from bias.verdicts import LEVELS, Evidence, Unjudged, Verdict

HARSH = re.compile(
    r"\b(vermin|criminals?|stupid|idiots?|burden|filth|savages?|thieves|should not|lazy|dirty|"
    r"hate|kill|animals?|invad\w+|terrorists?|inferior|disgusting|worst)\b",
    re.IGNORECASE,
)


@dataclass
class LexiconJudge:
    """`asked` are the texts it was given, by call; those in `unreadable` it does not judge."""

    unreadable: frozenset[str] = frozenset()
    bias: float = 0.0
    """Is added to each score."""
    asked: list[list[str]] = field(default_factory=list)
    signature: str = "lexicon|v1"

    def judge(self, texts: Sequence[str]) -> list[Verdict | Unjudged]:
        self.asked.append(list(texts))
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> Verdict | Unjudged:
        if text in self.unreadable:
            return Unjudged("it cannot be read")
        found = [Evidence(m.start(), m.end(), m[0]) for m in HARSH.finditer(text)]
        return verdict(min(max(4.6 - 1.7 * len(found) + self.bias, 1.0), 5.0), tuple(found))


def verdict(score: float, evidence: tuple[Evidence, ...] = (), *, sure: bool = True) -> Verdict:
    """Whose probabilities have `score` for their mean."""
    low = min(math.floor(score), LEVELS[-1] - 1)
    share = score - low
    chances = [0.0] * len(LEVELS)
    chances[low - 1], chances[low] = 1 - share, share
    return Verdict(level_of(score), score, tuple(chances), evidence, "By its words.", sure)  # type: ignore[arg-type]
