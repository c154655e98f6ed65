"""Runs of n tokens, how many two texts share, and whose length is closest."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence


def ngrams(tokens: Sequence[str], n: int) -> Iterable[Hashable]:
    """All runs of `n` tokens in their order; none where there are fewer."""
    return tokens if n == 1 else zip(*(tokens[start:] for start in range(n)), strict=False)


def count_ngrams(tokens: Sequence[str], n: int) -> int:
    return max(0, len(tokens) - n + 1)


def counted(items: Iterable[Hashable]) -> dict[Hashable, int]:
    counts: dict[Hashable, int] = {}
    get = counts.get
    for item in items:  # for the few tokens of an answer faster than a Counter
        counts[item] = get(item, 0) + 1
    return counts


def shared(items: Iterable[Hashable], counts: dict[Hashable, int]) -> int:
    """How many of `items` stand in `counts`, none more often than it is counted there. `counts` is
    used up."""
    found = 0
    get = counts.get
    for item in items:
        left = get(item)
        if left:
            counts[item] = left - 1
            found += 1
    return found


def closest_length(length: int, references: Sequence[Sequence[str]]) -> int:
    """Of the reference whose length is closest to `length`, the shorter of two."""
    return min(map(len, references), key=lambda one: (abs(one - length), one))
