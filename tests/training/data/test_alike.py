"""Near-duplicates: found wherever they stand, and what only looks alike stays."""

from __future__ import annotations

import random

import numpy as np
import pytest

from model_pipeline.evaluation.leaks import shingles
from training.data.alike import THRESHOLD, firsts

TEXTS = [
    "When does the shop open? It opens at nine on weekdays.",
    "How long is a tent guaranteed? A tent is guaranteed for two years.",
    "when does the shop open?? It opens at nine, on weekdays!",
    "When is the shop closed? It is closed on public holidays.",
    "",
    "!?",
]


def test_the_first_of_each_kind_stays() -> None:
    assert firsts(TEXTS).tolist() == [True, True, False, True, True, True]
    assert firsts(TEXTS[::-1]).tolist() == [True, True, True, True, True, False]
    assert firsts([]).tolist() == []
    assert firsts(["The same words."] * 50).tolist() == [True] + [False] * 49


def test_as_a_comparison_of_every_pair_has_it() -> None:
    draws = random.Random(0)
    words = [f"{one}{two}" for one in "bdfgklmnprst" for two in ("a", "ent", "ol", "irk")]
    texts: list[str] = []
    for _ in range(120):
        text = [draws.choice(words) for _ in range(14)]
        texts.append(" ".join(text))
        for _ in range(draws.randrange(3)):
            text[draws.randrange(14)] = draws.choice(words)
            texts.append(" ".join(text))
    found = [shingles(one) for one in texts]
    expected: list[int] = []
    for number, one in enumerate(found):
        alike = [len(one & found[k]) / len(one | found[k]) for k in expected]
        if max(alike, default=0.0) < THRESHOLD:
            expected.append(number)
    assert 120 <= len(expected) < len(texts) - 40
    assert np.flatnonzero(firsts(texts)).tolist() == expected


@pytest.mark.parametrize("number", [3, 12])
def test_another_number_is_another_row(number: int) -> None:
    texts = [f"How many tents are in box {n}? There are {n} of them in it." for n in (7, number)]
    assert firsts(texts).tolist() == [True, True]
