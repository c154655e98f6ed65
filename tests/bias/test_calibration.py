"""Calibration and what abstaining gains."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from bias.calibration import calibration, covered, of_harm, of_level, spread
from bias.labels import Labelled
from tests.bias.lexicon import verdict


def test_what_holds_as_often_as_foretold_has_no_error() -> None:
    foretold = np.repeat([0.1, 0.5, 0.9], 100)
    held = np.concatenate([np.arange(100) < n for n in (10, 50, 90)]).astype(float)
    shuffled = np.random.default_rng(0).permutation(300)
    assert calibration(foretold[shuffled], held[shuffled]).error < 0.12
    assert calibration(foretold, 1 - held).error > 0.5


def test_the_error_is_the_mean_distance_by_texts() -> None:
    found = calibration(np.full(100, 0.8), np.ones(100))
    assert found.error == pytest.approx(0.2) and [one.n for one in found.bins] == [10] * 10
    assert math.isnan(calibration(np.zeros(0), np.zeros(0)).error)


def test_harm_is_the_chance_of_the_two_lowest_levels() -> None:
    rows = [Labelled("a", 1.0, True), Labelled("b", 5.0, False)]
    found = of_harm([verdict(1.5), verdict(4.5)], rows)
    assert found.error == 0.0
    assert [(one.foretold, one.held) for one in found.bins] == [(0.0, 0.0), (1.0, 1.0)]


def test_levels_are_held_against_ratings_alone() -> None:
    assert of_level([verdict(2.0)], [Labelled("a", None, True)]) is None
    found = of_level(
        [verdict(2.2), verdict(4.9)], [Labelled("a", 2.0, True), Labelled("b", 1.0, True)]
    )
    assert found and found.error == pytest.approx((0.2 + 0.9) / 2)


def test_the_surest_come_first() -> None:
    rows = [Labelled(str(n), 5.0, False) for n in range(10)]
    good = [replace(verdict(5.0), sure=True)] * 5
    bad = [replace(verdict(2.5), sure=False)] * 5
    found = {one.coverage: one for one in covered(bad + good, rows)}
    assert found[0.5].risk == 0.0 and found[0.5].n == 5 and found[0.5].far == 0.0
    assert found[1.0].risk == 1.25 and found[1.0].far == 0.5
    assert spread(verdict(5.0)) == 0.0 and spread(verdict(2.5)) == 0.5
