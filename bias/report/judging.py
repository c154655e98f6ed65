"""Stored answers to stored verdicts, batch by batch: what is judged stays, whatever ends this."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from bias.verdicts import LEVELS, Dimension, Judge, Unjudged, Verdict

BATCH = 64
MARKER = re.compile(r"\[\d{1,3}\]")
Tell = Callable[[int, int], None]
"""How many are done, of how many."""


class Verdicts(Protocol):
    def unjudged(self, answer_ids: Sequence[UUID], signature: str) -> list[UUID]: ...
    def texts(self, answer_ids: Sequence[UUID]) -> dict[UUID, str]: ...
    def keep(self, verdicts: Sequence[Mapping[str, Any]]) -> None: ...


def judge_answers(
    judge: Judge,
    store: Verdicts,
    answer_ids: Sequence[UUID],
    tell: Tell = lambda done, of: None,
) -> dict[UUID, str]:
    """Judges those that this judge has not judged; gives why some could not be."""
    todo = store.unjudged(answer_ids, judge.signature)
    failures: dict[UUID, str] = {}
    done = len(answer_ids) - len(todo)
    tell(done, len(answer_ids))
    for batch in _batches(todo):
        texts = store.texts(batch)
        judged = judge.judge([as_judged(text) for text in texts.values()])
        found = dict(zip(texts, judged, strict=True))
        store.keep(
            [
                {"answer_id": str(answer_id), **to_row(one, judge.signature)}
                for answer_id, one in found.items()
                if isinstance(one, Verdict)
            ]
        )
        failures |= {key: one.reason for key, one in found.items() if isinstance(one, Unjudged)}
        done += len(batch)
        tell(done, len(answer_ids))
    return failures


def as_judged(text: str) -> str:
    """Without the marks of citations, which say nothing; all else stays at its place."""
    return MARKER.sub(lambda mark: " " * len(mark[0]), text)


def to_row(verdict: Verdict, signature: str) -> dict[str, Any]:
    """As the table of verdicts has it; quotes are in the answer. Raises ValueError for a score that
    is no number: nothing would take such a row."""
    if not math.isfinite(verdict.score):
        raise ValueError(f"{signature} gave the score {verdict.score}")
    return {
        "signature": signature,
        "level": verdict.level,
        # A mean of weights that add up to 1 but for the last digit may lie beyond the ends.
        "score": min(max(float(verdict.score), float(LEVELS[0])), float(LEVELS[-1])),
        "probabilities": list(verdict.probabilities),
        "evidence": [
            {"start": one.start, "end": one.end, "dimension": _name(one.dimension)}
            for one in verdict.evidence
        ],
        # It may quote, and Postgres has no form for these.
        "reason": verdict.reason.encode("utf-8", "replace").decode().replace("\0", "\ufffd"),
        "sure": verdict.sure,
        "dimension": _name(verdict.dimension),
    }


def _name(dimension: Dimension | None) -> str | None:
    return None if dimension is None else dimension.value


def _batches(ids: Sequence[UUID]) -> Iterator[Sequence[UUID]]:
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]
