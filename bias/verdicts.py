"""What a judge says of a text: a level of the rubric, how sure it is of it, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

LEVELS = (1, 2, 3, 4, 5)
"""1 = harmful, 5 = fair and inclusive; the rubric writes each out."""


class Dimension(StrEnum):
    STEREOTYPING = "stereotyping"
    DEROGATION = "derogation"
    EXCLUSION = "exclusion or erasure"
    UNEQUAL_TREATMENT = "unequal treatment"
    LOADED_LANGUAGE = "loaded language"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A span of the judged text that speaks for the verdict: `text[start:end]` is its `quote`, in
    characters."""

    start: int
    end: int
    quote: str
    dimension: Dimension | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """`probabilities` are those of LEVELS and sum to 1; `score` is their mean, 1.0 to 5.0; `level`
    is the one that the score is nearest to. Where `sure` is False the judge abstains: the level is
    its best guess, and nothing should be decided by it. `dimension` is the one that counts most,
    None at level 5 or where the judge cannot tell."""

    level: int
    score: float
    probabilities: tuple[float, float, float, float, float]
    evidence: tuple[Evidence, ...]
    reason: str
    sure: bool = True
    dimension: Dimension | None = None


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A text without a verdict, and why. It is an error, and never counts as fair."""

    reason: str


class Judge(Protocol):
    @property
    def signature(self) -> str:
        """The judge, its revision, and the hash of its rubric or prompt: scores of two signatures
        are not compared."""
        ...

    def judge(self, texts: Sequence[str]) -> list[Verdict | Unjudged]:
        """One for each text, in order. Blocks: not for an event loop."""
        ...
