"""A follow-up put in full by the language model that also answers.

What it writes is taken where it can be the same question: one line, of the follow-up's own words
and of what was said. The rule of `condense` then goes over it as over any question, so that what it
still leaves out is found too, and is all there is where the model fails, takes its time, or writes
something else: a follow-up is never refused for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

from model_pipeline.domain import Turn, Wording
from model_pipeline.errors import ModelUnavailable
from rag_service.condense import Condensed, condense, stemmed
from rag_service.generate.fallback import Breaker
from rag_service.generate.prompt import Template, fence_for, plain
from rag_service.generate.writer import Cut, Message, Writer

CURRENT = "condense-1"
LIMIT_S = 3.0
TOKENS = 96
CHARACTERS = 500
QUOTED_TURNS = 6
QUOTED_CHARACTERS = 600
# Of the follow-up's words so many stay, and of those written so many were said: else it is an
# answer, another question, or nonsense.
KEPT = 0.5
SAID = 0.7


class ByModel:
    """A Condense. After failures in a row the model is not asked for a while: see Breaker."""

    def __init__(self, writer: Writer, *, limit_s: float = LIMIT_S) -> None:
        self._writer = writer
        self._limit_s = limit_s
        self._template = Template(CURRENT)
        self._breaker = Breaker()
        self.name = self._template.name

    async def __call__(self, question: str, history: Sequence[Turn]) -> Condensed:
        written = None
        if any(turn.role == "user" for turn in history) and self._breaker.allows():
            written = await self._written(question, history)
        return condense(written or question, history)

    async def _written(self, question: str, history: Sequence[Turn]) -> str | None:
        """None where it is of no use."""
        messages = self._messages(question, history)
        tokens = sum(self._writer.count_tokens(one.content) for one in messages) + TOKENS
        text = ""
        try:
            if tokens > self._writer.context_tokens:
                return None
            async with asyncio.timeout(self._limit_s):
                pieces = self._writer.write(messages, Wording(max_tokens=TOKENS))
                async with aclosing(pieces):
                    async for piece in pieces:
                        if isinstance(piece, Cut) or len(text) > CHARACTERS:
                            return None
                        text = (text + piece).lstrip()
                        if "\n" in text:
                            break
            self._breaker.succeeded()
        except (ModelUnavailable, TimeoutError):
            self._breaker.failed()
            return None
        finally:
            self._breaker.undecided()
        text = text.partition("\n")[0].strip().strip('"“”').strip()
        return text if _asks_the_same(text, question, history) else None

    def _messages(self, question: str, history: Sequence[Turn]) -> list[Message]:
        special = self._writer.special_tokens
        turns = [
            Turn(one.role, " ".join(plain(one.content[:QUOTED_CHARACTERS], special).split()))
            for one in history[-QUOTED_TURNS:]
        ]
        asked = plain(question, special)
        user = self._template.block(
            "user",
            fence=fence_for([asked, *(one.content for one in turns)]),
            turns=turns,
            question=asked,
        )
        return [Message("system", self._template.block("system")), Message("user", user)]


def _asks_the_same(written: str, question: str, history: Sequence[Turn]) -> bool:
    """As far as words tell."""
    own, new = stemmed(question).keys(), stemmed(written).keys()
    said = own | {word for turn in history for word in stemmed(turn.content)}
    return (
        0 < len(written) <= CHARACTERS
        and len(own & new) >= KEPT * len(own)
        and len(new & said) >= SAID * len(new)
    )
