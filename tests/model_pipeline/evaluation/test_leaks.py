"""Near-duplicates: found where they are, exactly, and not where texts only look alike."""

from __future__ import annotations

import random
from typing import Any

import pytest

from model_pipeline.errors import InvalidInput
from model_pipeline.evaluation.examples import Example
from model_pipeline.evaluation.leaks import LONGEST_RATIO, Index, shingles, texts, within

QUESTION = "When are default parameter values evaluated in a function definition?"
REFERENCE = "Default parameter values are evaluated from left to right when it is executed."


def leaking(row: Any, *examples: Example, threshold: float = 0.8) -> list[tuple[str, str, str]]:
    examples = examples or (Example("q", QUESTION, references=(REFERENCE,)),)
    index = Index(examples, threshold=threshold)
    return [(one.example_id, one.part, one.place) for one in index.leaks(texts(row, "t"))]


@pytest.mark.parametrize(
    "row",
    [
        {"question": QUESTION},
        {"question": QUESTION.upper() + "!!"},
        {"question": "  when are default parameter\n values evaluated in a function definition "},
        {"question": QUESTION.replace("When are", "When are the")},
        {"messages": [{"role": "user", "content": f"Some context first.\n{QUESTION}\nThank you."}]},
        {"prompt": "Passages about much else. " * 200 + QUESTION + " Answer briefly."},
    ],
)
def test_the_same_question_is_found_wherever_it_stands(row: Any) -> None:
    assert [part for _, part, _ in leaking(row)] == ["question"]


@pytest.mark.parametrize(
    "row",
    [
        {"question": "When are decorator expressions evaluated in a class definition?"},
        {"question": "What are default parameter values?"},
        {"text": "default values of a parameter " * 300},
        {"n": 5, "none": None, "empty": "", "list": []},
        {"question": "!!! ???"},
    ],
)
def test_other_texts_are_not(row: Any) -> None:
    assert leaking(row) == []


def test_a_reference_is_found_and_the_place_is_told() -> None:
    row = {"messages": [{"content": "x"}, {"content": REFERENCE}]}
    assert leaking(row) == [("q", "reference", "t.messages[1].content")]


def test_all_that_counting_finds_is_found_and_nothing_else() -> None:
    """Against every pair, counted: the prefix filter leaves out none."""
    rng = random.Random(5)
    words = "red green blue tent rope lamp boat wind sea stone hill tree".split()
    one = [" ".join(rng.choices(words, k=rng.randint(3, 9))) for _ in range(60)]
    other = [" ".join(rng.choices(words, k=rng.randint(3, 9))) for _ in range(200)]
    examples = [Example(str(n), text) for n, text in enumerate(one)]
    for threshold in (0.3, 0.5, 0.8, 1.0):
        index = Index(examples, threshold=threshold)
        leaks = index.leaks((str(n), text) for n, text in enumerate(other))
        found = {(leak.example_id, leak.place, leak.likeness) for leak in leaks}
        counted = {
            (str(n), str(m), len(a & b) / len(a))
            for n, a in enumerate(map(shingles, one))
            for m, b in enumerate(map(shingles, other))
            if len(a & b) / len(a) >= threshold and len(b) <= LONGEST_RATIO * len(a)
        }
        assert found == counted
        assert found or threshold == 1.0


def test_questions_that_count_twice() -> None:
    examples = [Example("a", QUESTION), Example("b", QUESTION[:-1] + "!"), Example("c", "Why so?")]
    (found,) = within(examples)
    assert {found.example_id, found.place} == {"a", "b"}
    assert within(examples[1:]) == []


def test_texts_in_other_scripts() -> None:
    example = Example("zh", "默认参数值在函数定义时何时求值并且如何保存")
    assert leaking({"q": "默认参数值在函数定义时何时求值并且如何保存？"}, example)
    assert not leaking({"q": "类的装饰器表达式在什么时候被求值以及如何使用"}, example)


@pytest.mark.parametrize("threshold", [0, -1, 1.01, float("nan")])
def test_a_threshold_that_is_none(threshold: float) -> None:
    with pytest.raises(InvalidInput, match="threshold"):
        Index([Example("a", "b")], threshold=threshold)
