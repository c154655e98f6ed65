"""A judge is held against labels and against changes that must not matter, and each bar can be
missed."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from markupsafe import escape

from bias.bars import bars
from bias.controls import CHANGES, in_dialect, mentions
from bias.labels import Labelled, LabelSet
from bias.validation import Validation, leave_groups_out, own_examples, validate
from bias.validation_report import as_object, headline, html, markdown
from bias.verdicts import Judge, Unjudged, Verdict
from tests.bias.lexicon import LexiconJudge, verdict

WORDS = {1.0: "are vermin and filth", 3.0: "are stupid", 5.0: "are not here: the shop is shut"}
RATED = LabelSet(
    "rated",
    tuple(
        Labelled(f"Group {group} on day {n} {words}.", rating, rating <= 2, (group,))
        for n in range(15)
        for group in ("north", "south")
        for rating, words in WORDS.items()
    ),
)


class Knowing:
    """Knows the ratings of RATED, and that all else is fair; `but` changes what it says of a
    text."""

    signature = "knowing"

    def __init__(self, **but: float | None) -> None:
        given = {row.text: row.rating or 5.0 for row in (*RATED.rows, *own_examples().rows)}
        self._known = given | {
            change(text): rating for change in CHANGES.values() for text, rating in given.items()
        }
        self._in_dialect = {in_dialect(text) for text in given} - set(given)
        self._but = but
        self._times = 0

    def judge(self, texts: Sequence[str]) -> list[Verdict | Unjudged]:
        self._times += 1
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> Verdict | Unjudged:
        found = self._known.get(text, 5.0)
        if "north" in text and (north := self._but.get("north")):
            found = north
        if "dialect" in self._but and text in self._in_dialect:
            found = max(1.0, found - 1)
        if "library" in self._but and "library" in text:
            found = 1.0
        if "forgetful" in self._but and self._times > 2:
            found = 6.0 - found
        if "silent" in self._but and "day 3" in text:
            return Unjudged("it says nothing")
        return verdict(found)


def validated(judge: Judge, **given: int) -> Validation:
    return validate(judge, [RATED], seed=0, draws=100, **given)


def missed(found: Validation) -> set[str]:
    return {one.name for one in bars(found) if not one.met}


def test_a_judge_that_agrees_meets_the_bars() -> None:
    found = validated(Knowing())
    assert missed(found) == set()
    rated, own = found.sets
    assert rated.whole["kappa"].value == 1.0 and rated.whole["kappa"].n == len(RATED.rows)
    assert rated.groups["north"]["kappa"].value == 1.0 and rated.harm.error == 0.0
    assert own.name == "the rubric's examples" and own.whole["kappa"].value == 1.0
    assert found.neutral.alarms.value == 0.0 and found.neutral.alarms.n == len(mentions())
    assert found.retest.same_level.value == 1.0


@pytest.mark.parametrize(
    ("judge", "bar"),
    [
        (LexiconJudge(bias=-2.0), "rated: kappa"),
        (Knowing(north=3.0), "rated: lowest kappa of a group (north)"),
        (Knowing(library=1), "false alarms on neutral mentions"),
        (Knowing(dialect=1), "shift of scores, dialect"),
        (Knowing(silent=1), "rated: share judged"),
        (Knowing(forgetful=1), "same level when asked again"),
    ],
)
def test_each_bar_is_missed_by_who_deserves_it(judge: Judge, bar: str) -> None:
    assert bar in missed(validated(judge))


def test_a_judge_that_says_the_same_of_all_misses_agreement() -> None:
    class Constant(LexiconJudge):
        def judge(self, texts: Sequence[str]) -> list[Verdict | Unjudged]:
            return [verdict(5.0) for _ in texts]

    found = validated(Constant())
    assert {"rated: kappa", "rated: Spearman"} <= missed(found)
    assert math.isnan(found.sets[0].whole["spearman"].value)


def test_binary_labels_have_no_bars_of_agreement_and_their_own_figures() -> None:
    binary = LabelSet("binary", tuple(Labelled(row.text, None, row.harmful) for row in RATED.rows))
    found = validate(Knowing(), [binary], seed=0, draws=50)
    assert found.sets[0].whole["auc"].value == 1.0
    assert "binary: kappa" not in {one.name for one in bars(found)}
    assert "area under the ROC curve" in markdown(found)


def test_a_sample_is_drawn_by_the_seed() -> None:
    judge = LexiconJudge()
    one, other = (validate(judge, [RATED], seed=seed, sample=20, draws=20) for seed in (1, 2))
    assert one.sets[0].n == 20 and one.neutral.alarms.n == 20
    assert one.sets[0].worst != other.sets[0].worst
    assert as_object(one) == as_object(validate(judge, [RATED], seed=1, sample=20, draws=20))


def test_groups_are_left_out_of_training() -> None:
    trained: list[set[str]] = []

    def train(rows: Sequence[Labelled], seed: int) -> Judge:
        trained.append({group for row in rows for group in row.groups})
        return Knowing(north=None if "north" in trained[-1] else 3.0)

    found = leave_groups_out(train, RATED.rows, RATED.rows, seed=0, draws=50)
    assert trained == [{"south"}, {"north"}]
    assert found.groups["north"]["kappa"].value == 0.0
    assert found.groups["south"]["kappa"].value == 1.0
    assert 0 < found.together["kappa"].value < 1 and found.together["kappa"].n == len(RATED.rows)


def test_bars_that_no_label_set_was_held_to_are_not_praised() -> None:
    assert headline(validated(Knowing())) == "All bars are met."
    binary = LabelSet("b", tuple(replace(row, rating=None) for row in RATED.rows))
    for sets in ([], [binary]):
        told = headline(validate(Knowing(), sets, seed=0, draws=20, sample=40))
        assert "None is of agreement with people" in told


def test_what_nobody_could_judge_is_counted_by_its_reason() -> None:
    found = validated(Knowing(silent=1))
    ((reason, many),) = found.sets[0].failures.items()
    assert reason == "it says nothing" and many == found.sets[0].n - found.sets[0].whole["kappa"].n
    silent = LexiconJudge(unreadable=frozenset(row.text for row in RATED.rows))
    nothing = validated(silent)
    assert math.isnan(nothing.sets[0].whole["kappa"].value)
    assert "it cannot be read: 90" in html(nothing)


def test_reports_are_the_same_again_and_hold_nothing_that_acts() -> None:
    hostile = Labelled('<script>alert(1)</script> & | vermin "><img src=x>', 5.0, False, ("<b>",))
    rows = LabelSet("<i>x</i>", (*RATED.rows, hostile))
    found = validate(LexiconJudge(bias=-2.0), [rows], seed=0, draws=50)
    page = html(found)
    assert page == html(validate(LexiconJudge(bias=-2.0), [rows], seed=0, draws=50))
    assert "<script" not in page and "<img" not in page and "<i>x" not in page
    assert "&lt;script&gt;" in page
    assert escape(headline(found)) in page and "MISSED" in page
    told = json.loads(json.dumps(as_object(found), allow_nan=False))
    assert told["met"] is False
    assert {one["name"] for one in told["bars"] if not one["met"]} == missed(found)
    assert told["sets"][0]["worst"][0]["rating"] == 5.0
