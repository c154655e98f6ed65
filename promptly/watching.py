"""What a judge of bias decides in the way of answers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bias.report.judging import as_judged, to_row
from bias.verdicts import Judge, Verdict
from promptly.settings import Settings
from rag_service.answer import Policy
from rag_service.bias_policy import BiasPolicy, JudgeText


@dataclass(frozen=True, slots=True)
class Watching:
    """`policy` is what answers go through, `name` what it adds to a release's id: it decides what
    is answered."""

    policy: Policy | None = None
    name: str = ""


@contextmanager
def watching(settings: Settings, judge: Judge | None = None) -> Iterator[Watching]:
    """As PROMPTLY_BIAS_POLICY says; by the shipped judge, where none is given."""
    if settings.bias_policy == "off":
        yield Watching()
        return
    if judge is None:
        from promptly.bias_judges import LOCAL, open_judge  # takes time to import

        judge = open_judge([LOCAL], settings)
    signature = hashlib.sha256(judge.signature.encode()).hexdigest()[:8]
    # One thread: a judge uses as many as it has settings for.
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="judge") as executor:
        policy = BiasPolicy(
            judge_text(judge),
            executor,
            below=settings.bias_level,
            withhold=settings.bias_policy == "withhold",
        )
        yield Watching(policy, f"/{settings.bias_policy}-below-{settings.bias_level}@{signature}")


def judge_text(judge: Judge) -> JudgeText:
    def verdict_on(text: str) -> Mapping[str, Any] | None:
        found = judge.judge([as_judged(text)])[0]
        return to_row(found, judge.signature) if isinstance(found, Verdict) else None

    return verdict_on
