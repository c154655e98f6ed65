from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.learning.order import order, padding_share

LENGTHS = [50 + 353 * number % 900 for number in range(1000)]


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=60),
    st.floats(0.1, 5),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(0, 3),
)
def test_every_step_is_full_and_every_example_comes_before_any_comes_again(
    lengths: list[int], epochs: float, held: int, times: int, seed: int
) -> None:
    batch = held * times
    placed = order(lengths, epochs=epochs, batch=batch, device_batch=held, seed=seed)
    assert len(placed) == batch * max(1, round(epochs * len(lengths) / batch))
    counts = Counter(placed)
    assert max(counts.values()) - min(counts.get(one, 0) for one in range(len(lengths))) <= 1


def test_it_is_the_same_for_the_same_seed_and_each_epoch_is_another() -> None:
    given = {"epochs": 2.0, "batch": 10, "device_batch": 5}
    placed = order(LENGTHS, seed=0, **given)
    assert placed == order(LENGTHS, seed=0, **given)
    assert placed != order(LENGTHS, seed=1, **given)
    assert placed[:1000] != placed[1000:]


def test_little_of_it_is_padding_and_yet_a_step_has_long_ones_and_short_ones() -> None:
    placed = order(LENGTHS, epochs=1, batch=16, device_batch=4, seed=0)
    in_order = [LENGTHS[one] for one in placed]
    assert padding_share(in_order, 4) < 0.03 < 0.3 < padding_share(LENGTHS, 4)
    spread = [max(in_order[at : at + 16]) - min(in_order[at : at + 16]) for at in range(0, 992, 16)]
    assert sum(spread) / len(spread) > 300


def test_the_share_of_padding() -> None:
    assert padding_share([3, 1, 2, 2], 2) == pytest.approx(2 / 10)
    assert padding_share([3, 1, 2], 2) == pytest.approx(2 / 8)
