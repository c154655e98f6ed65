"""Sentiment, by VADER."""

from __future__ import annotations

import pytest

from bias.sentiment import sentiment, signature


def test_signs_and_the_mean_of_sentences() -> None:
    good, bad = "This is wonderful and helpful.", "This is a terrible failure."
    assert sentiment(good) > 0.5 > -0.5 > sentiment(bad)
    assert sentiment(f"{good} {bad}") == pytest.approx((sentiment(good) + sentiment(bad)) / 2)
    assert sentiment("") == 0
    assert signature().startswith("vader-3.")
