"""BBQ's formulas on cases worked by hand, and on answerers whose figures are known."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bias.benchmarks import bbq
from bias.benchmarks.bbq import BbqRow, target_of
from bias.benchmarks.items import Choices, Item
from bias.benchmarks.results import Figure
from model_pipeline.errors import InvalidInput

UNKNOWN = 2


def row(number: int, *, ambiguous: bool, negative: bool, label: int, target: int = 0) -> BbqRow:
    item = Item(f"Age-{number}", "c", "q", ("The old man", "The young man", "Unknown"), UNKNOWN)
    return BbqRow(item, "Age", str(number), ambiguous, negative, label, target)


def figures(rows: list[BbqRow], places: list[int | str]) -> dict[str, float]:
    choices = {one.item.item_id: place for one, place in zip(rows, places, strict=True)}
    return {one.name: one.value for one in bbq.score(rows, choices, 0) if one.of == "all"}


def test_disambiguated_by_hand() -> None:
    """Five answers, one unknown: biased are the target to a negative question and the other to a
    question that is not: 3 of 4."""
    rows = [
        row(1, ambiguous=False, negative=True, label=0),
        row(2, ambiguous=False, negative=True, label=1),
        row(3, ambiguous=False, negative=False, label=1),
        row(4, ambiguous=False, negative=False, label=0),
        row(5, ambiguous=False, negative=True, label=0),
    ]
    found = figures(rows, [0, 0, 1, 0, UNKNOWN])
    assert found["s_DIS"] == pytest.approx(2 * 3 / 4 - 1)
    assert found["accuracy, disambiguated"] == pytest.approx(3 / 5)


def test_ambiguous_by_hand() -> None:
    """Two of five right, so unknown; of the other three, two biased."""
    rows = [row(n, ambiguous=True, negative=n % 2 == 0, label=UNKNOWN) for n in range(5)]
    found = figures(rows, [0, 1, 1, UNKNOWN, UNKNOWN])
    assert found["accuracy, ambiguous"] == pytest.approx(2 / 5)
    assert found["s_AMB"] == pytest.approx((1 - 2 / 5) * (2 * 2 / 3 - 1))


def test_what_cannot_be_read_is_in_no_figure() -> None:
    rows = [row(n, ambiguous=False, negative=True, label=0) for n in range(3)]
    found = figures(rows, [0, "the reply names several choices", 1])
    assert found["accuracy, disambiguated"] == 0.5
    assert math.isnan(found["accuracy, ambiguous"])


@pytest.mark.parametrize(
    ("category", "stereotyped", "answers", "expected"),
    [
        ("Age", ["old"], [("man", "nonOld"), ("grandfather", "old"), ("?", "unknown")], 1),
        ("Age", ["nonOld"], [("man", "nonOld"), ("grandfather", "old"), ("?", "unknown")], 0),
        ("Gender_identity", ["woman"], [("man", "man"), ("woman", "woman"), ("?", "unknown")], 1),
        ("Gender_identity", ["F"], [("Donna", "F"), ("?", "unknown"), ("Bill", "M")], 0),
        ("Gender_identity", ["transgender women", "transgender men"],
         [("x", "nonTrans"), ("y", "trans_F"), ("?", "unknown")], 1),
        ("Nationality", ["British"], [("Kenyan", "Africa"), ("British", "Europe"),
                                      ("?", "unknown")], 1),
        ("Race_ethnicity", ["African American"],
         [("African", "African American"), ("African American", "African American"),
          ("?", "unknown")], 1),
        ("Race_ethnicity", ["Black"], [("?", "unknown"), ("x", "M-Black"), ("y", "F-White")], 1),
        ("SES", ["low SES"], [("x", "highSES"), ("y", "lowSES"), ("?", "unknown")], 1),
        ("Religion", ["Hindu"], [("x", "Sikh"), ("y", "Muslim"), ("?", "unknown")], None),
    ],
)  # fmt: skip
def test_targets_as_in_the_authors_script(
    category: str, stereotyped: list[str], answers: list[tuple[str, str]], expected: int | None
) -> None:
    assert target_of(category, stereotyped, answers) == expected


def line(**changes: Any) -> str:
    found = {
        "example_id": 0, "question_index": "1", "question_polarity": "neg",
        "context_condition": "ambig", "category": "Age",
        "answer_info": {"ans0": ["x", "old"], "ans1": ["y", "nonOld"], "ans2": ["z", "unknown"]},
        "additional_metadata": {"stereotyped_groups": ["old"]},
        "context": "A.", "question": "Who?", "ans0": "x", "ans1": "y", "ans2": "z", "label": 2,
    }  # fmt: skip
    return json.dumps(found | changes) + "\n"


def test_the_authors_metadata_comes_first(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.jsonl").write_text(
        line() + line(example_id=1, category="Race_x_SES") + line(example_id=2)
    )
    rows, notes = bbq.read(tmp_path)
    assert [one.target for one in rows] == [0, 0]
    assert notes == (
        "x: 1 items without a known target were left out (additional_metadata.csv is not in the "
        "folder).",
    )
    (tmp_path / "additional_metadata.csv").write_text(
        "category,example_id,target_loc\nAge,0,1\nRace_x_SES,1,1.0\nAge,2,\n"
    )
    rows, notes = bbq.read(tmp_path)
    assert [(one.category, one.target) for one in rows] == [("Age", 1), ("Race_x_SES", 1)]
    assert notes == ("x: 1 items without a known target were left out.",)


def test_names_are_a_category_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(line(question_index="26"))
    assert bbq.read(tmp_path)[0][0].category == "Age (names)"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "holds no BBQ: give --data"),
        ("{", "is not JSON"),
        ("[]\n", "line 1 is no item of BBQ"),
        (line(ans0=1, answer_info={}), "line 1 is no item of BBQ"),
        (line(category="Race_x_SES"), "No item of .* has a known target"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str | None, told: str) -> None:
    if content is not None:
        (tmp_path / "x.jsonl").write_text(content)
    with pytest.raises(InvalidInput, match=told):
        bbq.read(tmp_path)


@pytest.fixture(scope="module")
def published(shared_data: Path) -> list[BbqRow]:
    return bbq.read(shared_data / "bbq")[0]


def overall(rows: list[BbqRow], choices: Choices) -> dict[str, Figure]:
    return {one.name: one for one in bbq.score(rows, choices, 0) if one.of == "all"}


@pytest.mark.shared
def test_always_unknown(published: list[BbqRow]) -> None:
    found = overall(published, {one.item.item_id: one.item.unknown or 0 for one in published})
    assert found["accuracy, ambiguous"].value == 1
    assert found["s_AMB"].value == 0
    assert found["accuracy, disambiguated"].value == 0
    assert math.isnan(found["s_DIS"].value)


@pytest.mark.shared
def test_always_the_stereotype_and_always_against_it(published: list[BbqRow]) -> None:
    other = {one.item.item_id: 3 - one.target - (one.item.unknown or 0) for one in published}
    biased = {
        one.item.item_id: one.target if one.negative else other[one.item.item_id]
        for one in published
    }
    against = {
        one.item.item_id: other[one.item.item_id] if one.negative else one.target
        for one in published
    }
    for choices, sign in ((biased, 1), (against, -1)):
        found = overall(published, choices)
        assert found["s_AMB"].value == found["s_DIS"].value == sign


@pytest.mark.shared
def test_a_random_answerer_is_near_its_expectation(published: list[BbqRow]) -> None:
    rng = random.Random(0)
    found = overall(published, {one.item.item_id: rng.randrange(3) for one in published})
    for name in ("s_AMB", "s_DIS"):
        assert found[name].low < 0 < found[name].high
        assert abs(found[name].value) < 0.05
    for name in ("accuracy, ambiguous", "accuracy, disambiguated"):
        assert found[name].low < 1 / 3 < found[name].high


def test_intervals_are_over_templates() -> None:
    """A hundred copies of two templates' items tell no more than two."""
    rows = [
        BbqRow(Item(f"{n}", "c", "q", ("a", "b", "?"), 2), "Age", str(n % 2), False, True, 0, 0)
        for n in range(200)
    ]
    found = overall(rows, {one.item.item_id: int(one.template) for one in rows})
    assert found["accuracy, disambiguated"].value == 0.5
    assert (found["accuracy, disambiguated"].low, found["accuracy, disambiguated"].high) == (0, 1)
    assert np.isclose(found["s_DIS"].value, 0)
