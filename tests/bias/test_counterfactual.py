"""Gaps between groups: found where answers were made to differ, and nowhere else."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bias.counterfactual import (
    Compared,
    Effect,
    all_variants,
    as_object,
    ask_all,
    compare,
    from_object,
)
from bias.probe_report import asked, foremost, gap, markdown, note, summary
from bias.probes import Probe, Variant, fixed_probes, sample
from bias.swaps import groups_in
from bias.verdicts import Unjudged, Verdict
from model_pipeline.evaluation.examples import Prediction, Retrieved
from model_pipeline.evaluation.predictions import prediction_log

SAME = "It opens at nine."
FOUND = [f"passage-{n}" for n in range(10)]


def answered(
    variant: Variant, text: str = SAME, *, found: Sequence[str] = FOUND, declined: bool = False
) -> Prediction:
    passages = tuple(Retrieved(one, "") for one in found)
    return Prediction(variant.variant_id, answer=text, declined=declined, passages=passages)


def compared(
    probes: Sequence[Probe], answer: Callable[[Variant], Prediction], judge: object = None
) -> Compared:
    answers = {one.variant_id: answer(one) for one in all_variants(probes)}
    return compare(probes, answers, judge=judge, draws=4000)  # type: ignore[arg-type]


def effect(found: Compared, group: str, measure: str) -> Effect:
    return next(one for one in found.effects if (one.group, one.measure) == (group, measure))


@pytest.fixture(scope="module")
def old_and_young() -> list[Probe]:
    return [one for one in fixed_probes() if one.axis == "age"]


def is_old(variant: Variant) -> bool:
    return groups_in(f"{variant.question} {variant.context or ''}", "age") == {"old"}


def test_equal_answers_have_no_gap(old_and_young: list[Probe]) -> None:
    found = compared(old_and_young, answered, Words())
    assert {one.measure for one in found.effects} >= {"sentiment", "regard", "declined", "length"}
    assert all(one.difference == 0 for one in found.effects)
    assert not any(one.holds for one in found.effects)
    assert summary(found).startswith("None of")


class Words:
    """A judge by one word; it cannot read another."""

    signature = "words-1"

    def judge(self, texts: Sequence[str]) -> list[Verdict | Unjudged]:
        return [
            Unjudged("it does not say")
            if "unreadable" in text
            else Verdict(1 if "useless" in text else 5, 1.0 if "useless" in text else 5.0,
                         (0.0, 0.0, 0.0, 0.0, 1.0), (), "by a word")
            for text in texts
        ]  # fmt: skip


def test_every_measure_sees_its_own_gap(old_and_young: list[Probe]) -> None:
    def worse(variant: Variant) -> Prediction:
        if not is_old(variant):
            return answered(variant)
        text = "That is a terrible, useless, awful thing to ask about at all."
        return answered(variant, text, found=FOUND[::-1])

    found = compared(old_and_young, worse, Words())
    assert effect(found, "old", "sentiment").difference < -0.5
    assert effect(found, "young", "sentiment").difference > 0.5
    assert effect(found, "old", "regard").difference == pytest.approx(-4)
    length = effect(found, "old", "length")
    assert math.exp(length.difference) == pytest.approx(12 / 4)
    assert effect(found, "old", "ranking_rbo").others == 0  # controls find the same
    for measure in ("sentiment", "regard", "length", "ranking_rbo"):
        assert effect(found, "old", measure).holds, measure
        assert effect(found, "old", measure).p_holm < 0.05
    assert effect(found, "old", "declined").difference == 0
    assert gap(length) == "× 3.000"
    assert "**holds**" in markdown(found, {"k": 5})
    assert found.signatures["regard"] == "words-1"


def test_refusals_are_a_gap_and_have_no_text(old_and_young: list[Probe]) -> None:
    found = compared(
        old_and_young, lambda one: answered(one, "No useless words.", declined=is_old(one))
    )
    refused = effect(found, "old", "declined")
    assert (refused.value, refused.others, refused.difference) == (1.0, 0.0, 1.0)
    assert refused.holds
    assert all(one.measure != "sentiment" for one in found.effects)


def test_words_of_people_alone_are_no_difference() -> None:
    """An answer that repeats whom it is about says the same."""
    probes = [one for one in fixed_probes() if one.axis == "gender"]

    def repeats(variant: Variant) -> Prediction:
        female = groups_in(variant.question, "gender") == {"female"}
        text = "Give her the actress's key." if female else "Give him the actor's key."
        return answered(variant, text)

    found = compared(probes, repeats)
    assert effect(found, "female", "length").difference == 0
    assert effect(found, "female", "sentiment").difference == 0


def test_a_ranking_that_another_word_moves_as_far_is_no_gap(old_and_young: list[Probe]) -> None:
    def by_words(variant: Variant) -> Prediction:
        """Each wording finds other passages."""
        return answered(variant, found=[f"{variant.variant_id}-{n}" for n in range(10)])

    moved = effect(compared(old_and_young, by_words), "old", "ranking_rbo")
    assert (moved.value, moved.others) == (1.0, 1.0)
    assert not moved.holds

    def controls_move(variant: Variant) -> Prediction:
        """What does not name an age finds other passages than what does."""
        return answered(variant) if groups_in(variant.question, "age") else by_words(variant)

    less = effect(compared(old_and_young, controls_move), "old", "ranking_rbo")
    assert less.difference == -1.0
    assert less.p_holm < 0.05
    assert not less.holds
    assert note(less) == "no gap"


def test_failures_are_counted_and_scored_nowhere(old_and_young: list[Probe]) -> None:
    first = old_and_young[0].original

    def one_fails(variant: Variant) -> Prediction:
        if variant == first:
            return Prediction(variant.variant_id, error="It took longer than 60 s.")
        return answered(variant, "unreadable" if is_old(variant) else SAME)

    found = compared(old_and_young, one_fails, Words())
    assert found.failures == {"It took longer than 60 s.": 1, "it does not say": 1}
    assert effect(found, "old", "declined").n == len(old_and_young) - 1
    assert all(one.measure != "regard" for one in found.effects)
    assert as_object(found)["effects"][0].keys() >= {"axis", "group", "difference", "p_holm"}


def test_as_many_effects_as_there_are_can_still_hold() -> None:
    """One group of nine that is always refused is found among all that is compared."""
    probes = fixed_probes()
    answers = {
        one.variant_id: answered(one, declined="Iranian" in one.question)
        for one in all_variants(probes)
    }
    found = compare(probes, answers)
    held = [one for one in found.effects if one.holds]
    assert ("nationality", "Iranian", "declined") in {(x.axis, x.group, x.measure) for x in held}
    assert {one.axis for one in held} == {"nationality"}
    assert set(held) <= set(foremost(found.effects))


def test_too_few_answers_are_told_and_not_tested(old_and_young: list[Probe]) -> None:
    """Four of all probes are answered, worse for the old: no test of four pairs can show it."""
    few = {one.variant_id for probe in old_and_young[:4] for one in probe.variants().values()}

    def answer(variant: Variant) -> Prediction:
        text = "That is terrible." if is_old(variant) else SAME
        return answered(variant, text, declined=variant.variant_id not in few)

    found = compared(old_and_young, answer)
    worse = effect(found, "old", "sentiment")
    assert worse.n == 4 and worse.difference < -0.3
    assert worse.too_few and not worse.holds and math.isnan(worse.p)
    assert not effect(found, "old", "declined").too_few
    assert found.declined == found.variants - len(few)
    assert "which is too few to tell" in summary(found)
    assert f"{found.declined} of them declined" in asked(found)
    assert "no judge was asked" in asked(found)
    assert "- | too few |" in markdown(found, {})
    assert worse not in foremost(found.effects)


def test_nothing_answered_is_nothing_compared(old_and_young: list[Probe]) -> None:
    found = compared(old_and_young[:2], lambda one: Prediction(one.variant_id, error="Away."))
    assert summary(found).startswith("Nothing could be compared")
    assert found.declined == 0
    assert found.failures == {"Away.": found.variants}


def test_json_is_read_back(old_and_young: list[Probe]) -> None:
    found = compared(old_and_young, answered, Words())
    again = from_object(json.loads(json.dumps(as_object(found))))
    assert as_object(again) == as_object(found)
    assert markdown(again, {}) == markdown(found, {})


def test_what_was_asked_is_not_asked_again(tmp_path: Path, old_and_young: list[Probe]) -> None:
    probes = sample(old_and_young, 3, seed=0)
    asked: list[str] = []

    async def ask(variant: Variant) -> Prediction:
        asked.append(variant.question)
        if len(asked) == 4:
            raise KeyboardInterrupt
        return answered(variant)

    def run() -> dict[str, Prediction]:
        with prediction_log(tmp_path / "x.jsonl", {"release_id": "r"}, started_at="now") as log:
            return asyncio.run(ask_all(probes, ask, log))

    with pytest.raises(KeyboardInterrupt):
        run()
    answers = run()
    assert len(asked) == len(all_variants(probes)) + 1
    assert answers.keys() == {one.variant_id for one in all_variants(probes)}
