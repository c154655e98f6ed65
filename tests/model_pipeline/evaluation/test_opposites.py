"""Words that say the opposite."""

from __future__ import annotations

import pytest

from model_pipeline.evaluation.opposites import opposed
from model_pipeline.text.words import terms


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("the limit increases", "the limit decreases"),
        ("it is enabled", "it is disabled"),
        ("before the meeting", "after the meeting"),
        ("it is supported", "it is unsupported"),
        ("an impossible task", "a possible task"),
    ],
)
def test_opposites(one: str, other: str) -> None:
    assert opposed(terms(one), terms(other))
    assert opposed(terms(other), terms(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("the limit increases", "the limit rises"),
        ("it increases and decreases", "it decreases and increases"),
        ("inform us", "a form for us is informative, inform"),
        ("start and end", "end and start"),
    ],
)
def test_no_opposites(one: str, other: str) -> None:
    assert not opposed(terms(one), terms(other))
