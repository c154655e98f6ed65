"""The split: by document, whatever it is called, balanced over collections, chance that repeats."""

from __future__ import annotations

import random

import pytest

from training.data.split import Documents, rank


def documents(many: int = 100, collections: int = 2) -> tuple[Documents, list[str]]:
    made = Documents()
    names = [f"{n}.md" for n in range(many)]
    for n, name in enumerate(names):
        for part in range(3):
            made.add(f"c{n % collections}", name, f"Part {part} of {name}.")
    return made, names


def test_a_share_of_the_documents_of_each_collection() -> None:
    made, names = documents()
    sides = made.sides(names, validation=0.1, seed=0)
    held = [name for name in names if sides.of(name) == "validation"]
    assert len(held) == 10
    assert sorted(int(name[:-3]) % 2 for name in held) == [0] * 5 + [1] * 5
    other = made.sides(names, validation=0.1, seed=1)
    assert held != [name for name in names if other.of(name) == "validation"]


def test_the_same_whatever_the_order() -> None:
    made, names = documents()
    again = Documents()
    rows = [
        (f"c{n % 2}", f"{n}.md", f"Part {part} of {n}.md.") for n in range(100) for part in range(3)
    ]
    random.Random(0).shuffle(rows)
    for row in rows:
        again.add(*row)
    one, two = (each.sides(names, validation=0.2, seed=3) for each in (made, again))
    assert [one.of(name) for name in names] == [two.of(name) for name in names]


def test_copies_are_one_document() -> None:
    made, names = documents(40, 1)
    for part in (2, 0, 1):
        made.add("elsewhere", "copy.md", f"Part {part} of 7.md.")
    for seed in range(20):
        sides = made.sides(names, validation=0.3, seed=seed)
        assert sides.of("copy.md") == sides.of("7.md")


def test_what_is_only_shown_is_on_a_side_too() -> None:
    made, names = documents(400, 1)
    sides = made.sides(names[:20], validation=0.25, seed=0)
    beside = [sides.of(name) for name in names[20:]].count("validation") / 380
    assert 0.18 < beside < 0.32
    assert [sides.of(name) for name in names[:20]].count("validation") == 5


@pytest.mark.parametrize("collections", [1, 2])
def test_two_documents_are_one_on_each_side_and_one_is_trained_on(collections: int) -> None:
    made, names = documents(2, collections)
    sides = made.sides(names, validation=0.1, seed=0)
    assert sorted(map(sides.of, names)) == ["train", "validation"]
    assert sides.of_all(names) is None
    assert sides.of_all(names[:1]) == sides.of(names[0])
    made, names = documents(1, 1)
    assert made.sides(names, validation=0.5, seed=0).of("0.md") == "train"
    made, names = documents(9, 1)
    assert {made.sides(names, validation=0, seed=0).of(name) for name in names} == {"train"}


def test_a_rank_is_the_same_everywhere() -> None:
    assert rank(0, "a") == pytest.approx(0.5498, abs=1) and rank(0, "a") == rank(0, "a")
    assert len({rank(seed, *parts) for seed in (0, 1) for parts in (("a", "b"), ("ab",))}) == 4
    assert 0.4 < sum(rank(0, str(n)) for n in range(1000)) / 1000 < 0.6
