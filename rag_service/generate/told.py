"""A model's whole answer with the log probabilities of its tokens, for those who judge by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Told:
    """`tokens` are the answer's, each with the log probabilities of what was likely in its place,
    by their text; none where the model does not tell them."""

    text: str
    tokens: tuple[tuple[str, Mapping[str, float]], ...] = ()
