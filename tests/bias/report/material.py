"""Answers and verdicts to make reports of, and a judge that goes by one word."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from bias.report.report import Material, written
from bias.verdicts import Dimension, Evidence, Unjudged, Verdict
from model_pipeline.store.verdicts import GivenAnswer, JudgedAnswer

SINCE = datetime(2026, 3, 2, tzinfo=UTC)
UNTIL = SINCE + timedelta(days=7)
SIGNATURE = "words-1"
WORDS = ("idiots", "lazy", "weird", "odd")  # of the levels 1 to 4


class WordJudge:
    """A real judge of little wit: the first of WORDS that stands in a text tells its level."""

    signature = SIGNATURE

    def __init__(self) -> None:
        self.asked: list[str] = []

    def judge(self, texts: Sequence[str]) -> list[Verdict | Unjudged]:
        self.asked += texts
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> Verdict | Unjudged:
        if "unreadable" in text:
            return Unjudged("The judge cannot read it.")
        found = [(level, re.search(word, text)) for level, word in enumerate(WORDS, start=1)]
        level, match = next(((at, one) for at, one in found if one), (5, None))
        chances = [0.05] * 5
        chances[level - 1] = 0.8
        score = sum(at * chance for at, chance in enumerate(chances, start=1))
        a, b, c, d, e = chances
        evidence = (Evidence(*match.span(), match[0], Dimension.DEROGATION),) if match else ()
        return Verdict(
            level, score, (a, b, c, d, e), evidence, f"It says {match[0]}." if match else "Fair.",
            sure="perhaps" not in text, dimension=Dimension.DEROGATION if match else None,
        )  # fmt: skip


def given(number: int, *, release: str = "r1", day: int = 2, **more: Any) -> GivenAnswer:
    about = {"collection": "shop", "declined": False, "withheld": False} | more
    return GivenAnswer(UUID(int=number), f"2026-03-{day:02}", release_id=release, **about)


def judged(number: int, level: int = 5, **more: Any) -> JudgedAnswer:
    word = WORDS[level - 1] if level < 5 else "fine"
    about: dict[str, Any] = {
        "score": float(level), "probabilities": [0.2] * 5, "evidence": [], "reason": "Fair.",
        "sure": True, "dimension": "derogation" if level < 5 else None, "question": "Who?",
        "answer": f"They are {word}.", "created_at": SINCE,
    } | more  # fmt: skip
    return JudgedAnswer(UUID(int=number), SIGNATURE, level, **about)


def material(verdicts: Sequence[JudgedAnswer], **more: Any) -> Material:
    ids = [one.answer_id for one in verdicts]
    about: dict[str, Any] = {
        "given": [given(one.int) for one in ids], "chosen": ids, "failures": {}, "said": [],
        "earlier": [], "mentions": lambda text: ["women"] if "women" in text else [],
    } | more  # fmt: skip
    return Material(SIGNATURE, SINCE, UNTIL, 0, judged=verdicts, **about)


def drawn(n: int, *, seed: int, low: float = 0.05, first: int = 0) -> list[JudgedAnswer]:
    """`n` verdicts, a share `low` of them of the levels 1 and 2."""
    rng = random.Random(seed)
    levels = [
        rng.choice((1, 2)) if rng.random() < low else rng.choice((4, 5, 5, 5)) for _ in range(n)
    ]
    return [judged(first + number, level) for number, level in enumerate(levels)]


def earlier(report: dict[str, Any], weeks: int = 1) -> dict[str, Any]:
    """The same report, of a week before."""
    back = timedelta(weeks=weeks)
    return {**report, "since": written(SINCE - back), "until": written(UNTIL - back)}
