from __future__ import annotations

from collections import Counter

from hypothesis import given as drawing
from hypothesis import strategies as st

from bias.report.sample import sample
from tests.bias.report.material import given

MANY = [
    given(day * 1000 + number, day=day, release="r2" if number % 5 == 0 else "r1",
          collection="a" if number % 2 else "b")
    for day in range(1, 8)
    for number in range(100)
]  # fmt: skip


def strata(ids: object) -> Counter[tuple[str, str, str]]:
    chosen = set(ids)  # type: ignore[call-overload]
    return Counter(
        (one.day, one.collection, one.release_id) for one in MANY if one.answer_id in chosen
    )


def test_each_stratum_has_its_share() -> None:
    chosen = sample(MANY, size=140, seed=3)
    assert len(set(chosen)) == 140
    whole = strata([one.answer_id for one in MANY])
    found = strata(chosen)
    for stratum, many in whole.items():
        assert abs(found[stratum] - many * 140 / 700) < 1, stratum


def test_the_same_by_the_same_seed_whatever_the_order() -> None:
    first = sample(MANY, size=50, seed=1)
    assert sample(list(reversed(MANY)), size=50, seed=1) == first
    assert sample(MANY, size=50, seed=2) != first


@drawing(st.integers(0, 40), st.integers(1, 50), st.integers(0, 5))
def test_as_many_as_are_asked_for_and_none_twice(n: int, size: int, seed: int) -> None:
    chosen = sample(MANY[:n], size=size, seed=seed)
    assert len(chosen) == len(set(chosen)) == min(n, size)


def test_without_a_size_all_are_taken() -> None:
    assert len(sample(MANY, size=None, seed=0)) == len(MANY)
