"""The port to a language model: messages in, text out, piece by piece."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal, Protocol

from model_pipeline.domain import AS_RELEASED, Wording

Spent = Callable[[int, int], None]
"""Hears of the tokens of each answer that was begun: of its prompt, and written."""


def unheard(_prompt: int, _written: int) -> None:
    """Spent for nobody."""


@dataclass(frozen=True, slots=True)
class Message:
    role: Literal["system", "user", "assistant"]
    content: str


class Cut(Enum):
    """In a text that is being written: here it was cut off, at the most tokens it may have."""

    CUT = "cut"


CUT: Final = Cut.CUT


class Reader(Protocol):
    """How much a model reads, and what in it means more than text."""

    @property
    def context_tokens(self) -> int:
        """Tokens of the messages and the answer together."""
        ...

    @property
    def max_new_tokens(self) -> int: ...
    @property
    def special_tokens(self) -> Sequence[str]:
        """Strings that mean more than themselves where the model reads them."""
        ...

    def count_tokens(self, text: str) -> int: ...


class Writer(Reader, Protocol):
    """`name` identifies model and revision: it goes into the release id."""

    @property
    def name(self) -> str: ...

    def write(
        self, messages: Sequence[Message], wording: Wording = AS_RELEASED
    ) -> AsyncGenerator[str | Cut]:
        """The answer as it is written, and CUT last where it was longer than it may be; closed
        early, the model stops. `wording.stop` is for whoever reads: see `until`.

        Raises ModelUnavailable.
        """
        ...


async def until(
    stop: Sequence[str], pieces: AsyncGenerator[str | Cut]
) -> AsyncGenerator[str | Cut]:
    """`pieces` up to the first of `stop`, which is found across them; then they are closed."""
    held = ""
    # So much of what has come may be the beginning of one.
    longest = max(map(len, stop), default=1) - 1
    async with aclosing(pieces):
        async for piece in pieces:
            if isinstance(piece, Cut):
                if held:
                    yield held
                yield piece
                return
            held += piece
            # That which is whole first counts, so that it does not matter how the text comes.
            if found := [(held.find(one) + len(one), -len(one)) for one in stop if one in held]:
                yield held[: sum(min(found))]
                return
            if sure := held[: max(0, len(held) - longest)]:
                yield sure
                held = held[len(sure) :]
    if held:
        yield held
