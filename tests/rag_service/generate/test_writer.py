"""Where a text stops, whatever pieces it comes in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_service.generate.writer import CUT, Cut, until


def read(stop: Sequence[str], pieces: Sequence[str | Cut]) -> tuple[list[str | Cut], bool]:
    """What comes through, and whether the source was closed before its end."""
    left = False

    async def source() -> AsyncGenerator[str | Cut]:
        nonlocal left
        try:
            for piece in pieces:
                yield piece
        except GeneratorExit:
            left = True
            raise

    async def run() -> list[str | Cut]:
        return [piece async for piece in until(stop, source())]

    return asyncio.run(run()), left


@given(st.text("ab"), st.lists(st.text("ab", min_size=1), max_size=3), st.randoms())
def test_it_ends_before_the_first_of_them(text: str, stop: list[str], chance: object) -> None:
    cuts = sorted(chance.randrange(len(text) + 1) for _ in range(4))  # type: ignore[attr-defined]
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    found, _ = read(stop, pieces)
    ends = [(text.find(one) + len(one), text.find(one)) for one in stop if one in text]
    assert "".join(map(str, found)) == text[: min(ends, default=(0, len(text)))[1]]


@pytest.mark.parametrize(
    ("stop", "pieces", "found", "left"),
    [
        ((), ["a", "b"], ["a", "b"], False),
        (("END",), ["a E", "N", "D b", "c"], ["a", " ", ""], True),
        (("END",), ["a E", "N"], ["a", " ", "EN"], False),
        (("END",), ["a E", CUT], ["a", " E", CUT], True),
        ((), [CUT], [CUT], True),
    ],
)
def test_nothing_is_held_back_for_longer_than_it_must(
    stop: tuple[str, ...], pieces: list[str | Cut], found: list[str | Cut], left: bool
) -> None:
    got, closed = read(stop, pieces)
    assert [one for one in got if one] == [one for one in found if one]
    assert closed is left
