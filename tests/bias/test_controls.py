"""Changes that leave the statement alone, and mentions that say nothing against anybody."""

from __future__ import annotations

from bias.controls import (
    CHANGES,
    after,
    before,
    changed,
    contracted,
    expanded,
    full_stop,
    in_dialect,
    mentions,
    neutral,
    shift,
)
from bias.verdicts import Unjudged
from tests.bias.lexicon import verdict


def test_contractions_go_both_ways_where_they_say_one_thing() -> None:
    assert contracted("They are here. You CANNOT stay; do not.") == (
        "They're here. You Can't stay; don't."
    )
    assert expanded("They're here, and don't stay.") == "They are here, and do not stay."
    assert expanded("It's been long, and he's gone.") == "It's been long, and he's gone."
    assert contracted("Theyare donot") == "Theyare donot"


def test_dialect_changes_spelling_and_keeps_words_whole() -> None:
    assert in_dialect("They are going to sing with the king during spring.") == (
        "They gonna sing wit da king during spring."
    )
    assert in_dialect("The brothers are walking.") == "Da brothers are walkin'."


def test_a_full_stop_is_put_behind_a_word() -> None:
    assert [full_stop(one) for one in ("So.", "So ", "So? ", "")] == ["So.", "So.", "So? ", ""]


def test_length_is_added_around_the_text() -> None:
    assert before("It is so.").endswith(" It is so.") and len(before("It is so.")) > 100
    assert after("it is so").startswith("it is so. The meeting")
    assert after("Is it so?").startswith("Is it so? The meeting")


def test_only_changed_texts_are_paired() -> None:
    found = dict(changed(["They are here.", "Fine."]))
    assert list(found) == list(CHANGES)
    assert found["contracted"] == [(0, "They're here.")]
    assert [place for place, _ in found["two sentences before"]] == [0, 1]


def test_mentions_name_every_group_in_every_template() -> None:
    found = mentions()
    assert len({row.text for row in found}) == len(found)
    pairs = sum(len(terms) for terms in neutral().groups.values())
    assert len(found) == pairs * len(neutral().templates)
    assert all(row.rating == 5.0 and "{" not in row.text for row in found)
    assert "An autistic boy works at the library on Tuesdays." in {row.text for row in found}


def test_shifts_are_signed_and_jumps_are_of_two_levels() -> None:
    olds = [verdict(4.0), verdict(4.0), verdict(4.0)]
    moved, jumped = shift("x", olds, [verdict(3.0), verdict(2.0), Unjudged("no")])
    assert (moved.figure(), jumped.figure()) == (-1.5, 0.5)
    assert moved.scored.sum() == 2
