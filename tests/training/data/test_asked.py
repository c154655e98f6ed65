"""What rows may be made of: bounded, the same whatever comes first, balanced from the front."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from model_pipeline.domain import Turn
from tests.training.data.making import passages, rated_row
from training.data.asked import (
    MOST_A_DOCUMENT,
    Idea,
    Left,
    Sample,
    by_rules,
    in_order,
    of_people,
    of_sentences,
)


def ideas(many: int, **more: object) -> list[Idea]:
    sample = by_rules(most=many, seed=0)
    stored = list(passages(300, ("a", "b", "b")))
    for one in stored:
        sample.add(one.collection, one.source, one.content)
    return [idea for name in sample.collections for idea in of_sentences(name, sample.of(name))]


def test_questions_of_sentences_with_their_documents() -> None:
    (first,) = [one for one in ideas(1000) if one.documents == ("17.md",)]
    assert first.question == "What is the Carla lantern 17?"
    assert first.collection == "b" and first.origin == "corpus" and first.kind == "definition"
    assert first.answers["17.md"].startswith("The Carla lantern 17 is a tool")


@pytest.mark.parametrize("most", [7, 40, 100_000])
def test_held_is_the_same_whatever_comes_first_and_no_more_than_most(most: int) -> None:
    stored = [(f"c{n % 2}", f"{n % 90}.md", f"piece {n}") for n in range(2_000)]
    found = []
    for seed in range(4):
        random.Random(seed).shuffle(stored)
        sample: Sample[str] = Sample(lambda text: [text], lambda text: (text,), most=most, seed=5)
        for one in stored:
            sample.add(*one)
        held = {name: sample.of(name) for name in sample.collections}
        assert all(len(one) <= max(most, MOST_A_DOCUMENT) for one in held.values())
        found.append(held)
    assert found[0] == found[1] == found[2] == found[3]
    assert set(found[0]) == {"c0", "c1"}


def test_one_document_gives_no_more_than_its_share() -> None:
    sample: Sample[str] = Sample(str.split, lambda one: (one,), most=10_000, seed=0)
    sample.add("a", "long.md", " ".join(map(str, range(5 * MOST_A_DOCUMENT))))
    assert len(sample.of("a")) == MOST_A_DOCUMENT


def test_whatever_is_taken_from_the_front_is_balanced() -> None:
    of = {
        "big": [Idea("corpus", f"q{n}?", "big", "k", {f"b{n % 20}": "s"}, documents=(f"b{n % 20}",))
                for n in range(400)],
        "small": [Idea("corpus", f"r{n}?", "small", f"k{n % 3}", {"s0": "s"}, documents=("s0",))
                  for n in range(90)],
    }  # fmt: skip
    people = [Idea("liked", f"l{n}?", "big", "liked", answer="a") for n in range(200)]
    people += [Idea("corrected", f"c{n}?", None, "corrected", answer="a") for n in range(30)]
    found = in_order(of, people, seed=0)
    assert Counter(one.origin for one in found) == {"liked": 200, "corrected": 30, "corpus": 490}
    assert Counter(one.origin for one in found[:90]) == dict.fromkeys(
        ("liked", "corrected", "corpus"), 30
    )
    corpus = [one for one in found if one.origin == "corpus"]
    asked = Counter(one.documents[0][0] for one in corpus[:100])
    assert asked == {"b": 50, "s": 50}
    assert (
        max(Counter(one.documents[0] for one in corpus[:100] if one.documents[0] != "s0").values())
        <= 3
    )
    kinds = Counter(one.kind for one in corpus[:90] if one.documents[0] == "s0")
    assert set(kinds) == {"k0", "k1", "k2"} and max(kinds.values()) - min(kinds.values()) <= 1
    declining = Counter(one.declines for one in corpus[:100])
    assert declining == {"": 80, "withheld": 10, "elsewhere": 10}
    assert all(one.collection != {"b": "big", "s": "small"}[one.documents[0][0]]
               for one in corpus if one.declines == "elsewhere")  # fmt: skip
    assert in_order(of, people, seed=0) == found != in_order(of, people, seed=1)


def test_of_one_question_the_best_rated_then_the_newest_counts() -> None:
    rows = [
        rated_row("When?", "At eight.", hours=1),
        rated_row(" when? ", "At nine.", hours=2),
        rated_row("Where?", "Here.", hours=9),
        rated_row("Where?", "Here.", corrected="There.", rating="down", hours=3),
        rated_row("When?", "At ten.", collection="other"),
        rated_row("Nobody said?", "Something.", rating="down"),
    ]
    for _ in range(4):
        random.Random(0).shuffle(rows)
        left: Left = Counter()
        found = {
            (one.collection, one.question.strip().lower()): one for one in of_people(rows, left)
        }
        assert {key: one.answer for key, one in found.items()} == {
            ("shop", "when?"): "At nine.", ("shop", "where?"): "There.",
            ("other", "when?"): "At ten.",
        }  # fmt: skip
        assert left == {"duplicate": 2}
    assert found["shop", "where?"].origin == "corrected"


def test_what_was_said_before_makes_another_question() -> None:
    before = [{"question": "Is there tea?", "answer": "Yes [1]."}]
    left: Left = Counter()
    found = of_people(
        [rated_row("And when?", "At nine."), rated_row("And when?", "At ten.", history=before)],
        left,
    )
    assert sorted(one.answer for one in found) == ["At nine.", "At ten."]
    (told,) = [one for one in found if one.history]
    assert told.history == (Turn("user", "Is there tea?"), Turn("assistant", "Yes [1]."))


def test_documents_are_those_of_a_liked_answer_alone() -> None:
    rows = [
        rated_row("A?", "Yes.", sources=["a.md"]),
        rated_row("B?", "Yes.", sources=["b.md"], corrected="No."),
        rated_row("C?", "This is not in the documents.", declined=True, sources=["c.md"]),
        rated_row("D?", "This is not in the documents.", declined=True, corrected="At nine."),
        rated_row("E?", "x" * 8_001),
    ]
    left: Left = Counter()
    found = {one.question: one for one in of_people(rows, left)}
    assert [found[name].documents for name in ("A?", "B?", "C?", "D?")] == [("a.md",), (), (), ()]
    assert [found[name].declines for name in ("A?", "B?", "C?", "D?")] == ["", "", "said", ""]
    assert left == {"too_long": 1}
