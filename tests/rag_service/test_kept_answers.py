"""What is kept stays within its bounds, and is found by the nearest question that is the same."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_pipeline.domain import Answer
from rag_service.answer import Delta
from rag_service.kept_answers import EXACTLY, KeptAnswers, Key

KEY = Key("scope", "release", 5, "null")
VECTOR = np.eye(8, dtype=np.float32)


def answer(text: str = "It boils. [1]") -> Answer:
    return Answer(uuid4(), text, False, (), (), "release")


def put(kept: KeptAnswers, question: str, vector: int = 0, text: str = "", key: Key = KEY) -> None:
    made = answer(text or question)
    kept.keep(key, question, VECTOR[vector], [Delta(made.answer)], made)


def test_the_nearest_that_asks_for_the_same() -> None:
    kept = KeptAnswers()
    put(kept, "How do I boil water?", 0)
    put(kept, "How do I freeze water?", 1)
    near = np.array([0.97, 0.99, 0, 0, 0, 0, 0, 0], dtype=np.float32)
    found = kept.alike(KEY, "how can I boil the water", near, 0.95)
    assert found and found.answer.answer == "How do I boil water?"
    assert kept.alike(KEY, "how can I boil the water", near, 0.98) is None
    assert kept.alike(KEY, "how can I boil the water", near, EXACTLY) is None
    assert kept.alike(KEY, "how can I cool the water", near, 0.5) is None
    assert kept.same(KEY, "how can I boil the water") is None
    assert kept.same(KEY, "How do I boil water?") is found


@pytest.mark.parametrize(
    "key", [replace(KEY, scope="s"), replace(KEY, release_id="r"), replace(KEY, k=4),
            replace(KEY, filter="{}")],
)  # fmt: skip
def test_nothing_is_found_under_another_key(key: Key) -> None:
    kept = KeptAnswers()
    put(kept, "How do I boil water?")
    assert kept.same(key, "How do I boil water?") is None
    assert kept.alike(key, "How do I boil water?", VECTOR[0], 0.9) is None
    assert kept.same(KEY, "How do I boil water?")


def test_what_was_longest_not_asked_for_goes_first() -> None:
    kept = KeptAnswers(entries=2)
    put(kept, "one")
    put(kept, "two")
    assert kept.same(KEY, "one")
    put(kept, "three")
    assert [bool(kept.same(KEY, one)) for one in ("one", "two", "three")] == [True, False, True]


def test_nothing_stays_past_its_time() -> None:
    clock = [0.0]
    kept = KeptAnswers(seconds=60, now=lambda: clock[0])
    put(kept, "one")
    clock[0] = 60.0
    assert kept.same(KEY, "one")
    clock[0] = 60.1
    assert kept.alike(KEY, "one", VECTOR[0], 0.9) is None
    assert len(kept) == kept.size == 0 and KEY not in kept._groups


def test_one_that_is_too_large_by_itself_is_not_kept() -> None:
    kept = KeptAnswers(size=10_000)
    put(kept, "one")
    put(kept, "two", text="x" * 20_000)
    assert len(kept) == kept.size == 0


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=80))
def test_each_question_stays_with_its_vector(steps: list[tuple[int, bool]]) -> None:
    """However the others come and go."""
    kept = KeptAnswers(entries=20)
    vectors = np.random.default_rng(1).normal(size=(31, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for number, asked_again in steps:
        question = f"What is number {number}?"
        if asked_again:
            kept.same(KEY, question)  # so that others go before it
        made = answer(question)
        kept.keep(KEY, question, vectors[number], [], made)
        for one in range(31):
            text = f"What is number {one}?"
            held = kept.has_same(KEY, text)
            found = kept.alike(KEY, text.lower(), vectors[one], 0.999)
            assert (found.question if found else None) == (text if held else None)


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.integers(0, 2), st.integers(1, 3_000)), max_size=60
    )
)
def test_it_never_holds_more_than_it_may(steps: list[tuple[str, int, int]]) -> None:
    kept = KeptAnswers(entries=4, size=20_000)
    for question, k, length in steps:
        key = replace(KEY, k=k)
        put(kept, question, text="x" * length, key=key)
        found = kept.same(key, question)
        assert found is None or found.answer.answer == "x" * length
        assert len(kept) <= 4 and 0 <= kept.size <= 20_000
        held = [(one, n) for one in "abcdef" for n in range(3) if kept.same(replace(KEY, k=n), one)]
        assert len(held) == len(kept)
        assert {n for _, n in held} == {n for n in range(3) if replace(KEY, k=n) in kept._groups}
