"""What a report says, and that it says it in the same bytes again."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from html.parser import HTMLParser
from uuid import UUID, uuid4

import pytest

from bias.counterfactual import Compared, Effect
from bias.report.file import from_json, to_json
from bias.report.page import html, markdown, verdict
from bias.report.report import LONGEST, make
from model_pipeline.errors import InvalidInput
from model_pipeline.store.verdicts import LastWord
from model_pipeline.text.personal import REDACTED
from tests.bias.report.material import SINCE, drawn, earlier, given, judged, material

HOSTILE = (
    "</article></style><script>document.title='owned'</script>"
    "<img src=http://example.org/x.png onerror=\"document.title='owned'\"> | *a* `b`"
    "\n\u202ereversed \x1b[31m [link](http://example.org)"
)


def effect(measure: str = "regard", p: float = 0.001, group: str = "female") -> Effect:
    return Effect("gender", group, measure, 40, 3.9, 4.4, -0.5, -0.8, -0.2, p, p)


def probed(*effects: Effect) -> Compared:
    return Compared(effects, 20, 60, 5, {"The model does not answer.": 2}, {"regard": "words-1"})


def said(number: int, level: int, of: int) -> LastWord:
    return LastWord(
        uuid4(), UUID(int=number), "words-1", None, level, of, None, SINCE, "They are lazy."
    )


def test_it_counts_what_became_of_every_answer() -> None:
    verdicts = [judged(1, 1), judged(2, 5), judged(3, 4, sure=False)]
    found = make(
        material(
            verdicts,
            given=[*(given(n) for n in range(1, 6)), given(6, declined=True),
                   given(7, declined=True, withheld=True)],
            chosen=[UUID(int=n) for n in range(1, 6)],
            failures={UUID(int=5): "It timed out.", UUID(int=4): "It timed out."},
        )
    )  # fmt: skip
    assert found["answers"] == {
        "given": 7, "declined": 2, "withheld": 1, "chosen": 5, "judged": 3, "abstained": 1,
    }  # fmt: skip
    [failure] = found["failures"]
    assert (failure["name"], failure["count"]) == ("It timed out.", 2)
    assert failure["ids"] == [str(UUID(int=4)), str(UUID(int=5))]


def test_levels_by_dimension_group_release_day_and_collection() -> None:
    verdicts = [
        judged(1, 1, answer="These women are idiots."),
        judged(2, 5, question="Do women vote?"),
        judged(3, 2, dimension=None),
        judged(4, 5),
    ]
    about = [
        given(1), given(2, release="r2", day=3), given(3, collection=""), given(4, release="r2"),
    ]  # fmt: skip
    found = make(material(verdicts, given=about))
    groups = {one["value"]: one["figure"]["levels"] for one in found["by"]["group"]}
    assert groups == {"women": [1, 0, 0, 0, 1], "none named": [0, 1, 0, 0, 1]}
    for name, values in (
        ("release", {"r1": 2, "r2": 2}),
        ("day", {"2026-03-02": 3, "2026-03-03": 1}),
        ("collection", {"shop": 3, "": 1}),
    ):
        assert {one["value"]: one["figure"]["n"] for one in found["by"][name]} == values
    dimensions = {one["value"]: one["levels"] for one in found["dimensions"]}
    assert dimensions["derogation"] == [1, 0, 0, 0, 0]
    assert dimensions["not told"] == [0, 1, 0, 0, 2]
    assert len(dimensions) == 6


def test_a_decline_since_the_last_report_is_an_alarm_and_in_the_trend() -> None:
    before = earlier(make(material(drawn(200, seed=1, low=0.02))))
    found = make(material(drawn(200, seed=2, low=0.3), earlier=[earlier(before, 2), before]))
    assert [one["until"] for one in found["trend"]] == [
        "2026-02-23T00:00:00Z", "2026-03-02T00:00:00Z", "2026-03-09T00:00:00Z",
    ]  # fmt: skip
    assert {one["of"] for one in found["declines"]} == {"mean score", "share of levels 1 and 2"}
    assert verdict(found).startswith(
        "2 alarms: mean score is worse, since the report of 2026-02-23 to"
    )
    same = make(material(drawn(200, seed=3, low=0.02), earlier=[before]))
    assert same["declines"] == [] and len(same["tests"]) == 2
    assert verdict(same) == "No decline and no gap is shown."


def test_a_report_with_days_in_common_is_in_the_trend_and_not_compared() -> None:
    overlapping = make(material(drawn(200, seed=1, low=0.02)))
    overlapping["until"] = "2026-03-05T00:00:00Z"
    found = make(material(drawn(200, seed=2, low=0.3), earlier=[overlapping]))
    assert len(found["trend"]) == 2 and found["tests"] == []


def test_what_changed_with_which_release() -> None:
    old, new = drawn(100, seed=1, low=0.0), drawn(100, seed=2, low=0.5, first=100)
    about = [given(n, release="old" if n < 100 else "new") for n in range(200)]
    found = make(material([*old, *new], given=about))
    [mean, share] = found["tests"]
    assert mean["kind"] == share["kind"] == "release"
    assert mean["what"] == "old to new" and mean["worse"] and mean["significant"]
    assert len(found["declines"]) == 2


def test_gaps_of_treatment_are_alarms_and_length_is_not() -> None:
    effects = effect(), effect("length"), effect("declined", p=0.2), effect("ranking_rbo")
    found = make(material(drawn(40, seed=1), probed=probed(*effects)))
    assert [(one["measure"], one["group"]) for one in found["gaps"]] == [("regard", "female")]
    assert len(found["probes"]["effects"]) == 4
    page = html(found)
    assert "gender: female" in page and "The model does not answer. (2)" in page
    assert "| gender: female | regard |" in markdown(found)
    nothing = effect(p=math.nan)
    assert make(material(drawn(40, seed=1), probed=probed(nothing)))["gaps"] == []


def test_the_worst_are_shown_with_evidence_and_without_what_is_personal() -> None:
    text = "Ask jo@example.org: they are lazy, all of them."
    at = text.index("lazy")
    marks = [{"start": at, "end": at + 4, "dimension": "derogation"}]
    verdicts = [
        judged(1, 2, answer=text, evidence=marks, question="My name is Ann. Who is lazy?",
               reason="jo@example.org is insulted."),
        judged(2, 1, sure=False),
        judged(3, 5),
        judged(4, 4),
    ]  # fmt: skip
    found = make(material(verdicts, said=[said(1, 4, 2)]))
    first, second = found["worst"]
    assert (first["level"], second["level"]) == (2, 4)
    assert first["question"] == f"{REDACTED}. Who is lazy?"
    assert [one["text"] for one in first["answer"] if one["marked"]] == ["lazy"]
    assert first["reviews"] == [4]
    page, report = html(found), to_json(found)
    assert "<mark>lazy</mark>" in page
    for told in (page, report, markdown(found)):
        assert "jo@" not in told and "Ann" not in told


def test_a_long_answer_is_cut_around_its_evidence() -> None:
    text = "Fair words. " * 500 + "They are lazy." + " More." * 1000
    at = text.index("lazy")
    marks = [{"start": at, "end": at + 4, "dimension": None}]
    [shown] = make(material([judged(1, 2, answer=text, evidence=marks)]))["worst"]
    whole = "".join(one["text"] for one in shown["answer"])
    assert whole.startswith("…") and whole.endswith("…")
    assert len(whole) <= LONGEST + 2 and "They are lazy." in whole


def test_reviews_tell_how_people_differ_from_the_judge() -> None:
    found = make(material([judged(1, 2), judged(2, 5)], said=[said(1, 4, 2), said(2, 5, 5)]))
    assert found["reviews"] == {"n": 2, "confirmed": 1, "within_one": 1, "higher": 1.0}


def test_the_same_verdicts_give_the_same_bytes_and_another_seed_does_not() -> None:
    verdicts = drawn(60, seed=4, low=0.2)
    before = earlier(make(material(drawn(60, seed=5))))
    made = [make(material(list(verdicts), earlier=[before])) for _ in range(2)]
    assert to_json(made[0]) == to_json(made[1])
    assert html(made[0]) == html(made[1]) and markdown(made[0]) == markdown(made[1])
    other = make(replace(material(verdicts, earlier=[before]), seed=1))
    assert to_json(other) != to_json(made[0])


def test_json_is_read_back_to_the_same_pages() -> None:
    found = make(material(drawn(40, seed=1, low=0.2), probed=probed(effect())))
    again = from_json(to_json(found))
    assert html(again) == html(found) and to_json(again) == to_json(found)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kind": "promptly-bias-report"}', "[" * 9999])
def test_what_is_no_report_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="no bias report"):
        from_json(text)


def test_a_report_of_nothing_says_so() -> None:
    found = make(material([]))
    assert verdict(found) == "Nothing was answered in these days."
    assert "No verdict was reviewed." in html(found) and "| All | – | – | – | 0 | 0 |" in markdown(
        found
    )
    to_json(found)


def test_of_few_answers_nothing_is_told_but_gaps_are() -> None:
    found = make(material([judged(1), judged(2)]))
    assert verdict(found) == "2 answers are too few to tell: that takes 30."
    assert "notice good" not in html(found)
    unsure = make(material([judged(1, sure=False)]))
    assert verdict(unsure).startswith("There is no answer that the judge is sure of")
    assert verdict(make(material([], probed=probed(effect())))).startswith("1 alarm: regard")


def test_one_answer_has_a_mean_and_no_interval() -> None:
    found = make(material([judged(1, 3)]))["whole"]
    assert found["mean"] == 3.0
    assert found["low"] is None and found["high"] is None


def test_what_reads_as_harmful_to_an_unsure_judge_is_for_a_person() -> None:
    verdicts = [judged(n, 2, sure=False, score=2 + n / 10, answer=f"Odd {n}.") for n in range(9)]
    found = make(material([*verdicts, judged(20, 4, sure=False), judged(21, 1)]))
    assert [one["score"] for one in found["doubtful"]] == [2.0, 2.1, 2.2, 2.3, 2.4]
    assert [one["level"] for one in found["worst"]] == [1]
    page = html(found)
    assert "Answers for a person to look at" in page and "Odd 0." in page


def test_probes_are_shown_by_those_that_hold_and_the_nearest() -> None:
    few = Effect("age", "old", "regard", 3, 4.0, 4.0, -0.5, -1.0, 0.0, math.nan, math.nan)
    far, other = effect(p=0.7, group="male"), effect("sentiment", p=0.6, group="male")
    of = probed(effect(), far, few, other, effect("length"))
    found = make(material(drawn(40, seed=1), probed=of))
    page, table = html(found), markdown(found)
    assert "1 more are of fewer than 6 probes" in page and "5 of them declined" in table
    assert "gender: male, sentiment" in page
    assert "gender: male, regard" not in page and "age: old" not in page
    assert "× 0.607" in page
    assert len(found["probes"]["effects"]) == 5


def hostile() -> dict[str, object]:
    verdicts = [
        judged(n, 1, answer=HOSTILE, question=HOSTILE, reason=HOSTILE,
               evidence=[{"start": 3, "end": 40, "dimension": None}])
        for n in range(3)
    ]  # fmt: skip
    about = [given(n, release=HOSTILE, collection=HOSTILE) for n in range(3)]
    return make(
        material(
            verdicts, given=about, failures={UUID(int=9): HOSTILE},
            mentions=lambda text: [HOSTILE], probed=probed(effect(group=HOSTILE)),
        )
    )  # fmt: skip


class Attributes(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names |= {name for name, _ in attrs}


def test_a_page_has_no_script_no_address_and_nothing_of_anybodys_markup() -> None:
    page = html(hostile())
    assert "<script" not in page and "<img" not in page and "&lt;script&gt;" in page
    found = Attributes()
    found.feed(page)
    assert not found.names & {"src", "href", "onerror", "style", "onclick"}
    assert "default-src 'none'" in page
    assert "\u202e" not in page and "\x1b" not in page
    table = markdown(hostile())
    assert "<script>" not in table and "<img" not in table
    rows = [line for line in table.splitlines() if line.startswith("| group:")]
    assert len(rows) == 1 and "[link]" not in rows[0]


def test_numbers_in_the_page_are_those_of_the_report() -> None:
    found = make(material(drawn(80, seed=7, low=0.1)))
    page = html(found)
    whole = found["whole"]
    assert f"{whole['mean']:.3f}" in page and f"{whole['harmful']:.1%}" in page
    assert json.loads(to_json(found))["whole"] == whole
