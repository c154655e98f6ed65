"""The port to a language model: messages in, text out, piece by piece."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Spent = Callable[[int, int], None]
"""Hears of the tokens of each answer that was begun: of its prompt, and written."""


def unheard(_prompt: int, _written: int) -> None:
    """Spent for nobody."""


@dataclass(frozen=True, slots=True)
class Message:
    role: Literal["system", "user", "assistant"]
    content: str


class Writer(Protocol):
    """`name` identifies model and revision: it goes into the release id."""

    @property
    def name(self) -> str: ...
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

    def write(self, messages: Sequence[Message]) -> AsyncGenerator[str]:
        """The answer as it is written; closed early, the model stops.

        Raises ModelUnavailable.
        """
        ...
