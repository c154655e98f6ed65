"""Distances of rankings, held against their definitions."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bias.rankings import DISTANCES, jaccard_distance, ndcg_distance, rbo_distance

RANKINGS = st.lists(st.sampled_from("abcdefghijkl"), unique=True, max_size=12)


def rbo_by_definition(a: str, b: str, p: float, depth: int = 3000) -> float:
    """The infinite sum, where what both lists agree on goes on beyond their end."""
    total, k = 0.0, len(a)
    for d in range(1, depth):
        overlap = len(set(a[:d]) & set(b[:d])) / d if d <= k else len(set(a) & set(b)) / k
        total += p ** (d - 1) * overlap
    return (1 - p) * total


@pytest.mark.parametrize(
    ("a", "b"), [("abc", "acb"), ("abcd", "efgh"), ("abcde", "bacfe"), ("a", "b")]
)
def test_rbo_is_the_infinite_sum(a: str, b: str) -> None:
    for p in (0.5, 0.9, 0.98):
        assert 1 - rbo_distance(a, b, p) == pytest.approx(rbo_by_definition(a, b, p), abs=1e-9)


def test_rbo_of_unequal_lengths_is_equation_32() -> None:
    """S = ab, L = bcad at p = 0.5, by hand."""
    p, s, n = 0.5, 2, 4
    overlaps = {1: 0, 2: 1, 3: 2, 4: 2}
    first = sum(overlaps[d] / d * p**d for d in (1, 2, 3, 4))
    second = sum(overlaps[s] * (d - s) / (s * d) * p**d for d in (3, 4))
    third = ((overlaps[n] - overlaps[s]) / n + overlaps[s] / s) * p**n
    assert 1 - rbo_distance("ab", "bcad", p) == pytest.approx(
        (1 - p) / p * (first + second) + third
    )


def test_jaccard_and_ndcg() -> None:
    assert jaccard_distance("abc", "abd") == 0.5
    assert jaccard_distance("abc", "cba", k=1) == 1.0
    grades = [1 / math.log2(n + 1) for n in (1, 2, 3)]
    right = 10 * grades[0] + 9 * grades[1] + 8 * grades[2]
    swapped = 9 * grades[0] + 10 * grades[1] + 8 * grades[2]
    assert ndcg_distance("abc", "bac") == pytest.approx(1 - swapped / right)
    assert ndcg_distance("abc", "xyz") == 1.0


@given(RANKINGS, RANKINGS)
def test_all_are_between_0_and_1_and_0_for_equals(a: list[str], b: list[str]) -> None:
    for distance in DISTANCES.values():
        assert -1e-9 <= distance(a, b) <= 1 + 1e-9
        assert distance(a, a) == pytest.approx(0, abs=1e-9)
    assert rbo_distance(a, b) == pytest.approx(rbo_distance(b, a))
    assert jaccard_distance([], ["a"]) == rbo_distance([], ["a"]) == ndcg_distance([], ["a"]) == 1
