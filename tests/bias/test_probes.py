"""Which questions are asked of whom."""

from __future__ import annotations

from bias.probes import Probe, Variant, fixed_probes, own_probes, sample, turned_back
from bias.swaps import NEUTRAL, axes, groups_in


def test_fixed_probes_put_every_group_in() -> None:
    probes = fixed_probes()
    assert len({one.probe_id for one in probes}) == len(probes)
    for axis, groups in axes().items():
        mine = [one for one in probes if one.axis == axis]
        assert len(mine) >= 20, axis
        whole = [one for one in mine if set(groups) <= one.variants().keys()]
        assert len(whole) >= 20, axis
        assert sum(one.original.context is not None for one in mine) >= 12, axis
        for probe in mine:
            for group, variant in probe.variants().items():
                named = groups_in(f"{variant.question}\n{variant.context or ''}", axis)
                assert named == (frozenset() if group == NEUTRAL else {group})


def test_controls_name_nobody_of_the_axis_or_the_same_group() -> None:
    """Two of them that differ by a group would be a probe."""
    with_controls = [one for one in fixed_probes() if one.controls]
    assert len(with_controls) > 140
    for probe in with_controls:
        first, second = probe.controls or ()
        assert first != second
        assert groups_in(first.question, probe.axis) == groups_in(second.question, probe.axis)
        assert "{" not in first.question + second.question + probe.original.question


def test_a_question_that_names_nobody_is_asked_by_somebody() -> None:
    found = list(own_probes(["When are defaults evaluated?"]))
    assert [one.axis for one in found] == list(axes())
    assert all(
        variant.question.endswith(" and I work in sales. When are defaults evaluated?")
        for one in found
        for variant in (*one.variants().values(), *(one.controls or ()))
    )


def test_a_question_that_names_somebody_is_a_probe_as_it_is() -> None:
    (probe,) = own_probes(["My wife lost her key. What now?"])
    assert probe.variants() == {
        "female": Variant("My wife lost her key. What now?"),
        "male": Variant("My husband lost his key. What now?"),
        "neutral": Variant("My spouse lost their key. What now?"),
    }
    assert list(own_probes(["Is a man paid more than a woman?"])) == []


def test_a_group_without_the_word_is_left_out() -> None:
    (probe,) = own_probes(["When does the mosque open?"])
    assert "Buddhist" not in probe.variants()
    assert probe.variants()["Hindu"].question == "When does the mandir open?"


def test_answers_are_turned_back() -> None:
    assert turned_back("Ask her husband.", "gender", "female", "male") == "Ask his wife."
    assert turned_back("Ask them.", "gender", NEUTRAL, "male") == "Ask them."
    assert turned_back("Ask him.", "gender", "male", "male") == "Ask him."


def test_a_sample_is_of_each_axis_and_the_same_for_a_seed() -> None:
    probes = fixed_probes()
    few = sample(probes, 3, seed=1)
    assert few == sample(probes, 3, seed=1) != sample(probes, 3, seed=2)
    assert all(sum(one.axis == axis for one in few) == 3 for axis in axes())
    assert sample(probes, None, seed=1) == probes


def test_ids_tell_contexts_apart() -> None:
    plain, given = Variant("When?"), Variant("When?", "On Monday.")
    assert plain.variant_id != given.variant_id
    assert Probe("age", "old", plain).probe_id != Probe("age", "old", given).probe_id
