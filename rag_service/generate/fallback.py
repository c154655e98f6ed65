"""Where the language model does not answer, the documents' own sentences do, and that is told."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace

from model_pipeline.domain import Claim, Draft, Generator, Passage, Turn, Wording
from model_pipeline.errors import ModelUnavailable

FAILURES = 5
OPEN_S = 30.0
AWAY = "The language model has not been answering."
INSTEAD = "These are the documents' own sentences."
THE_REST = "What follows what it had said are the documents' own sentences."
ENDS_EARLY = "The answer may lack its end."
MARKER = re.compile(r"\[(\d+)\]")


class Breaker:
    """Opens after `failures` in a row: for `open_s` nobody is asked, then one, on whom it depends.

    `clock` gives seconds. For one event loop.
    """

    def __init__(
        self,
        *,
        failures: int = FAILURES,
        open_s: float = OPEN_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = failures
        self._open_s = open_s
        self._clock = clock
        self._failures = 0
        self._open_until = 0.0
        self._probing = False

    def allows(self) -> bool:
        """Whether to ask. Whoever may tells what became of it, by one of the three below."""
        if self._failures < self._limit:
            return True
        if self._probing or self._clock() < self._open_until:
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        self._failures, self._probing = 0, False

    def failed(self) -> None:
        self._failures, self._probing = self._failures + 1, False
        self._open_until = self._clock() + self._open_s

    def undecided(self) -> None:
        """Changes nothing, but lets the next one ask."""
        self._probing = False


class WithFallback:
    """`first`, and where it fails `otherwise`. What `first` said before it failed stands: it was
    checked, and has been read."""

    def __init__(self, first: Generator, otherwise: Generator, breaker: Breaker) -> None:
        self._first = first
        self._otherwise = otherwise
        self._breaker = breaker

    @property
    def name(self) -> str:
        return f"{self._first.name}|{self._otherwise.name}"

    def worded(self, wording: Wording) -> WithFallback:
        return WithFallback(self._first.worded(wording), self._otherwise, self._breaker)

    async def generate(
        self, question: str, passages: Sequence[Passage], history: Sequence[Turn]
    ) -> AsyncGenerator[Draft]:
        claims: list[Claim] = []
        why = AWAY
        if self._breaker.allows():
            try:
                async with aclosing(self._first.generate(question, passages, history)) as drafts:
                    async for draft in drafts:
                        claims += draft.claims
                        yield draft
                self._breaker.succeeded()
                return
            except ModelUnavailable as error:
                why = error.message
                if error.passing:
                    self._breaker.failed()
            finally:
                self._breaker.undecided()  # where nothing else was told: the reader left
        async with aclosing(self._otherwise.generate(question, passages, history)) as drafts:
            rest = [draft async for draft in drafts]
        for draft in _continuing(claims, rest, why):
            yield draft


def _continuing(said: Sequence[Claim], rest: Sequence[Draft], why: str) -> list[Draft]:
    """`rest` after the claims of what was said: numbered on, without what was quoted already."""
    if not any(claim.quote for claim in said):
        return [
            replace(draft, text=f" {draft.text}", fallback=f"{why} {INSTEAD}") for draft in rest
        ]
    last = max(claim.n for claim in said)
    fresh = [
        draft
        for draft in rest
        if not draft.declined and not any(_same(a, b) for a in draft.claims for b in said)
    ]
    if not fresh:
        return [Draft("", fallback=f"{why} {ENDS_EARLY}")]
    return [
        replace(
            draft,
            text=" " + MARKER.sub(lambda one: f"[{int(one[1]) + last}]", draft.text).lstrip(),
            claims=tuple(replace(claim, n=claim.n + last) for claim in draft.claims),
            fallback=f"{why} {THE_REST}",
        )
        for draft in fresh
    ]


def _same(one: Claim, other: Claim) -> bool:
    return one.passage == other.passage and (one.quote in other.quote or other.quote in one.quote)
