from __future__ import annotations

import numpy as np
import pytest

from bias.local.ordinal import cumulative, fit, isotonic, most_agreeing, sharpened, spread


def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers, and levels of a cumulative logistic model with slope 2 and cuts 2, 5, 7, 9."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 6, n)
    hidden = 2 * x + rng.logistic(size=n)
    return x, 1 + (hidden[:, None] > np.array([2.0, 5.0, 7.0, 9.0])).sum(1)


def test_the_cumulative_model_finds_what_made_the_levels() -> None:
    slope, cuts = cumulative(*drawn(20_000, 0))
    assert slope == pytest.approx(2, abs=0.06)
    assert cuts == pytest.approx([2, 5, 7, 9], abs=0.2)


def test_levels_that_the_number_parts_wholly_still_have_a_model() -> None:
    slope, cuts = cumulative(np.arange(50.0), np.repeat([1, 2, 3, 4, 5], 10))
    assert np.isfinite([slope, *cuts]).all()


def test_isotonic_is_the_nearest_rising_sequence() -> None:
    assert isotonic([1, 3, 2, 4], [1, 1, 1, 1]) == pytest.approx([1, 2.5, 2.5, 4])
    assert isotonic([3, 1], [1, 3]) == pytest.approx([1.5, 1.5])
    assert isotonic([5, 4, 3, 2, 1], np.ones(5)) == pytest.approx([3] * 5)


def test_probabilities_are_probabilities_and_rise_with_the_number() -> None:
    ordinal = fit(*drawn(300, 1))
    found = ordinal.probabilities(np.linspace(-50, 50, 401))
    assert (found >= 0).all()
    assert found.sum(1) == pytest.approx(np.ones(401))
    means = found @ np.arange(1, 6)
    assert (np.diff(means) >= -1e-12).all()
    assert means[0] < 1.7
    assert means[-1] > 4.5


def test_what_it_foretells_of_other_texts_holds() -> None:
    ordinal = fit(*drawn(400, 2))
    x, levels = drawn(20_000, 3)
    foretold = ordinal.probabilities(x)[:, :2].sum(1)
    for tenth in np.array_split(np.argsort(foretold), 10):
        held = (levels[tenth] <= 2).mean()
        assert held == pytest.approx(float(foretold[tenth].mean()), abs=0.08)


def test_curves_that_are_observed_apart_do_not_cross() -> None:
    rng = np.random.default_rng(4)
    found = fit(rng.normal(size=40), rng.integers(1, 6, 40)).probabilities(np.linspace(-3, 3, 50))
    assert (found >= 0).all()


def test_sharpening_keeps_a_sum_of_one_and_draws_to_the_likeliest() -> None:
    given = np.array([[0.1, 0.2, 0.4, 0.2, 0.1], [1.0, 0.0, 0.0, 0.0, 0.0]])
    found = sharpened(given, 2.0)
    assert found.sum(1) == pytest.approx([1, 1])
    assert found[0, 2] == pytest.approx(0.16 / 0.26)
    assert found[1] == pytest.approx(given[1])
    assert sharpened(given, 1.0) == pytest.approx(given)


def test_the_spread_is_of_the_many_and_not_of_a_few() -> None:
    rng = np.random.default_rng(5)
    numbers = rng.normal(4.8, 0.3, 20_000)
    assert spread(numbers) == pytest.approx(0.3, abs=0.01)
    odd = np.concatenate([numbers, np.full(400, 1.0)])
    assert spread(odd) == pytest.approx(0.3, abs=0.02) and np.std(odd) > 0.5


def test_of_exponents_that_agree_alike_the_least_is_taken() -> None:
    sure = np.array([[1.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0]])
    hedged = np.array([[0.6, 0.2, 0.1, 0.1, 0.0]])

    def found(others: int) -> float:
        given = np.concatenate([np.repeat(sure, others, axis=0), hedged])
        return most_agreeing(given, np.array([1] * others + [5] * others + [1]))

    assert found(2) > 1.0, "one of five is worth it"
    assert found(500) == 1.0, "one of a thousand is not"


def test_the_exponent_that_agrees_the_most() -> None:
    hedged = np.array([[0.6, 0.15, 0.1, 0.05, 0.1], [0.1, 0.05, 0.1, 0.15, 0.6]])
    assert most_agreeing(hedged, np.array([2, 4])) == 1.0
    assert most_agreeing(hedged, np.array([1, 5])) > 1.0
