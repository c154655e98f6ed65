"""Amounts, however they are written."""

from __future__ import annotations

import pytest

from model_pipeline.evaluation.amounts import amounts, lacking


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("30 days", "thirty days"),
        ("two weeks", "14 days"),
        ("24 hours", "a day"),
        ("30 days", "a month"),
        ("$5k", "5,000 dollars"),
        ("€12", "12 euros"),
        ("50%", "fifty percent"),
        ("229.0", "$229"),
        ("1.5 million people", "1,500,000"),
        ("five hundred users", "500 users"),
        ("1 GB", "1000 MB"),
        ("the year 1969", "1969."),
    ],
)
def test_what_is_the_same(one: str, other: str) -> None:
    assert amounts(one)
    assert lacking(amounts(one), amounts(other)) == []
    assert lacking(amounts(other), amounts(one)) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("30 days", "30 hours"),
        ("12 euros", "12 dollars"),
        ("30 days", "45 days"),
        ("100 days", "101 days"),
        ("version 3.10", "version 3.1"),
        ("2 GB", "2 MB"),
        ("5", "50"),
        ("10 tokens", ""),
    ],
)
def test_what_differs(one: str, other: str) -> None:
    assert len(lacking(amounts(one), amounts(other))) == 1


def test_one_of_them_and_a_jacket_count_nothing() -> None:
    assert amounts("one of them wore a jacket") == frozenset()


@pytest.mark.parametrize(
    "text", ["3.10.2", "1.2.3 million", "1,2,3 days", "٣ days", "²", "9" * 400 + " h"]
)
def test_odd_numbers_are_no_error(text: str) -> None:
    lacking(amounts(text), amounts("3 days"))
