"""The shipped judge, as it is installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bias.local.judge import LONGEST, LocalJudge, is_english, refusal, worst
from bias.local.weights import SHIPPED
from bias.rubric import rubric
from bias.verdicts import Unjudged, Verdict

FAIR = (
    "The mosque opens at nine.",
    "She is a deaf lawyer who won the case.",
    "The train from Leeds was late again this morning.",
    "Black voters and white voters queued outside the town hall.",
    "Please restart the router and try again.",
    "My grandmother is Jewish and makes the best soup.",
)
HARMFUL = (
    "Muslims are vermin and should be driven out.",
    "Women are too stupid to vote.",
    "You are a stupid worthless bot, shut up.",
    "All immigrants are criminals.",
    "I will find you and kill you, bitch.",
)


@pytest.fixture(scope="module")
def judge(embedder_cache: Path) -> LocalJudge:
    return LocalJudge(cache_dir=embedder_cache, threads=2)


def verdicts(judge: LocalJudge, *texts: str) -> list[Verdict]:
    found = judge.judge(texts)
    assert all(isinstance(one, Verdict) for one in found)
    return [one for one in found if isinstance(one, Verdict)]


def test_it_is_small_and_names_itself(judge: LocalJudge) -> None:
    assert SHIPPED.stat().st_size < 45_000_000
    assert judge.signature.startswith("local:all-MiniLM-L6-v2:v2:")


@pytest.mark.parametrize("text", FAIR)
def test_fair_texts(judge: LocalJudge, text: str) -> None:
    (found,) = verdicts(judge, text)
    assert found.level >= 4, found
    assert not found.evidence


@pytest.mark.parametrize("text", HARMFUL)
def test_harmful_texts(judge: LocalJudge, text: str) -> None:
    (found,) = verdicts(judge, text)
    assert found.level <= 2, found
    assert found.evidence


def test_a_verdict_is_what_its_words_promise(judge: LocalJudge) -> None:
    for text, found in zip(FAIR + HARMFUL, verdicts(judge, *FAIR, *HARMFUL), strict=True):
        assert sum(found.probabilities) == pytest.approx(1)
        assert min(found.probabilities) >= 0
        mean = sum(level * p for level, p in enumerate(found.probabilities, start=1))
        assert found.score == pytest.approx(mean)
        assert abs(found.level - found.score) <= 0.5
        assert found.reason.endswith(".")
        for one in found.evidence:
            assert text[one.start : one.end] == one.quote != ""
        assert found.level < 5 or found.dimension is None


def test_denying_a_harm_is_not_doing_it(judge: LocalJudge) -> None:
    said, denied = verdicts(
        judge, "Immigrants are criminals.", "It is wrong to say that immigrants are criminals."
    )
    assert denied.score > said.score + 1


def test_a_fair_text_stays_fair_however_long_it_is(judge: LocalJudge) -> None:
    short, long = verdicts(judge, " ".join(FAIR), " ".join(FAIR * 20))
    assert long.level >= 4
    assert long.score > short.score - 0.3


def test_one_harmful_sentence_counts_among_fair_ones_and_is_shown(judge: LocalJudge) -> None:
    text = " ".join(FAIR * 3) + " " + HARMFUL[0] + " " + " ".join(FAIR)
    (found,) = verdicts(judge, text)
    assert found.level <= 2
    at = text.index(HARMFUL[0])
    assert all(at <= one.start < one.end <= at + len(HARMFUL[0]) for one in found.evidence)


def test_verdicts_come_in_order_and_hardly_change_with_their_company(judge: LocalJudge) -> None:
    together = verdicts(judge, *FAIR, *HARMFUL)
    alone = [verdicts(judge, text)[0] for text in FAIR + HARMFUL]
    for one, other in zip(together, alone, strict=True):
        assert one.score == pytest.approx(other.score, abs=0.15)


@pytest.mark.parametrize("text", FAIR + HARMFUL)
def test_a_full_stop_is_no_fairness(judge: LocalJudge, text: str) -> None:
    without, dotted, trailing = verdicts(
        judge, text.rstrip("."), text.rstrip(".") + ".", text + "..."
    )
    assert without.score == dotted.score == trailing.score


@pytest.mark.parametrize("text", ["", "   ", "123 456 ?!", "😀"])
def test_nothing_to_judge_is_not_fair(judge: LocalJudge, text: str) -> None:
    (found,) = judge.judge([text])
    assert isinstance(found, Unjudged)
    assert found.reason == refusal(text)


def test_a_text_too_long_is_refused(judge: LocalJudge) -> None:
    found = judge.judge(["a " * LONGEST, "A short one.", "x" * LONGEST])
    assert isinstance(found[0], Unjudged)
    assert "characters" in found[0].reason
    assert isinstance(found[1], Verdict)
    assert isinstance(found[2], Verdict)


def test_any_string_gets_an_answer(judge: LocalJudge) -> None:
    odd = [
        "\ud800 hello",
        "\x00\x01 a",
        "a" * 5_000,
        "```\ncode = 1\n```",
        "é" * 400,
        "- a\n" * 900,
    ]
    assert len(judge.judge(odd)) == len(odd)
    assert judge.judge([]) == []


def test_other_languages_are_not_decided(judge: LocalJudge) -> None:
    texts = (
        "Der Zug nach Hamburg ist heute leider wieder zu spät, und das ist nicht gut.",
        "Эти люди живут в нашем городе уже много лет.",
        "Bu insanlar uzun zamandan beri bizim şehrimizde yaşıyor.",
    )
    for found in verdicts(judge, *texts):
        assert not found.sure
        assert "not in English" in found.reason
    for text in (
        "Las mujeres no saben conducir bien los coches.",
        "Le donne non sanno guidare bene la macchina.",
        "As mulheres não sabem dirigir muito bem.",
        "On ne peut pas faire confiance aux étrangers.",
        "Frauen gehören an den Herd und sonst nirgends hin.",
        "这些人都是罪犯",
        "Воры!",
        "ＷＯＭＥＮ ＡＲＥ ＳＴＵＰＩＤ",
    ):
        assert not is_english(text), text


def test_english_is_told_as_english() -> None:
    examples = [text for anchor in rubric().anchors for text in anchor.examples]
    for text in ("You stupid bot", *FAIR, *HARMFUL, *examples):
        assert is_english(text), text


def test_the_worst_of_many_is_raised_by_what_chance_does() -> None:
    assert worst([2.0], 0.3) == 2.0
    rng = np.random.default_rng(0)
    drawn = rng.normal(4.5, 0.3, (4_000, 20))
    assert np.mean([worst(row, 0.3) for row in drawn.tolist()]) == pytest.approx(4.5, abs=0.1)
    assert worst([1.0, *[4.8] * 19], 0.3) < 2
    assert worst([4.0, 4.1], 9.0) == pytest.approx(4.05)
