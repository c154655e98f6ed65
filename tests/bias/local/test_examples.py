from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import pytest

from bias.local.examples import RATED, part, plain, probes, rated, reworded, swaps, written
from bias.local.groups import GROUPS, fill, swapped
from model_pipeline.errors import InvalidInput


def test_a_text_is_in_one_part_however_it_is_written() -> None:
    assert part("Some  text\nhere") == part("some text here")
    parts = Counter(part(f"text number {n}") for n in range(5_000))
    assert parts["train"] / 5_000 == pytest.approx(0.7, abs=0.03)
    assert parts["calibration"] / 5_000 == pytest.approx(0.1, abs=0.02)


def test_every_group_fits_the_templates() -> None:
    for group in GROUPS:
        filled = fill("{people} and {a adjective} man, {adjective}.", group)
        assert "{" not in filled
        assert filled[0] == group.people[0].upper()
    arab = next(group for group in GROUPS if group.people == "Arabs")
    assert fill("he is {a adjective} man", arab) == "He is an Arab man"


def test_a_swap_names_another_group_everywhere() -> None:
    texts = {swapped("Muslims pray, and muslims eat; Jews too.", Random(n)) for n in range(40)}
    assert any(t.count("uslims") == 0 and "Jews" in t for t in texts)
    assert any("Jews" not in t and t.count("uslims") == 2 for t in texts)
    assert not any(t.count("uslims") == 1 for t in texts)
    assert swapped("It will rain.", Random(0)) == "It will rain."


def test_rewordings_are_of_the_text_or_of_another_group() -> None:
    text = "all of them will come to the meeting of the board on monday at nine"
    for seed in range(20):
        for other in reworded(text, Random(seed)):
            assert set(other.split()) <= set(text.split())


def test_what_is_written_has_all_levels_and_is_drawn_by_the_seed() -> None:
    first = written(0)
    assert {one.level for one in first} == {1, 2, 3, 4, 5}
    assert first == written(0) != written(1)
    assert not any("{" in one.text for one in first)


def test_without_ratings_the_folder_is_named_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        rated(tmp_path, "train")
    (tmp_path / RATED).parent.mkdir()
    (tmp_path / RATED).write_text('{"text": "x"}\n')
    with pytest.raises(InvalidInput, match="toxicity_score"):
        rated(tmp_path, "train")
    assert plain(tmp_path, 0) == []
    assert probes(tmp_path) == []


@pytest.mark.shared
def test_the_parts_of_the_ratings_share_no_text(shared_data: Path) -> None:
    train, calibration, test = (
        {" ".join(one.text.casefold().split()) for one in rated(shared_data, wanted)}
        for wanted in ("train", "calibration", "test")
    )
    assert len(train) > 2_000
    assert len(calibration) > 300
    assert len(test) > 600
    assert not train & calibration and not train & test and not calibration & test


@pytest.mark.shared
def test_swaps_keep_the_level(shared_data: Path) -> None:
    examples = rated(shared_data, "train")
    found = swaps(examples, 0)
    levels = Counter(one.level for one in examples)
    assert len(found) > 1_000
    assert {one.level for one in found} <= levels.keys()
    assert not {one.text for one in found} & {one.text for one in rated(shared_data, "test")}
