"""ROUGE against rouge-score, and each of its known pitfalls."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from model_pipeline.evaluation.rouge import longest_common
from model_pipeline.evaluation.text_metrics import text_metrics
from model_pipeline.evaluation.tokens import words
from tests.model_pipeline.evaluation.answers import answered

KINDS = {"rouge_1": "rouge1", "rouge_2": "rouge2", "rouge_l": "rougeL"}
ASCII = st.text(st.sampled_from("aB1 ,.\n_"), min_size=1, max_size=30)
ANY = st.text(st.sampled_from("aß漢字 हि१\n\ud800"), min_size=1, max_size=30)


class Words:
    """Our tokeniser as rouge-score takes one."""

    def tokenize(self, text: str) -> list[str]:
        return words(text)


def rouges(answer: str, references: Sequence[str]) -> dict[str, float]:
    return {one.name: one.figure() for one in text_metrics(answered([(answer, references)]))[4:13]}


def scored(scorer: RougeScorer, answer: str, references: Sequence[str]) -> dict[str, float]:
    found = scorer.score_multi(references, answer)
    return {
        f"{ours}_{part}": value
        for ours, theirs in KINDS.items()
        for part, value in zip(("precision", "recall", "f1"), found[theirs], strict=True)
    }


@settings(max_examples=120)
@given(ASCII, st.lists(ASCII.filter(words), min_size=1, max_size=3))
def test_equal_to_rouge_score_for_ascii(answer: str, references: list[str]) -> None:
    theirs = scored(RougeScorer(list(KINDS.values())), answer, references)
    assert rouges(answer, references) == pytest.approx(theirs, abs=1e-9)


@settings(max_examples=120)
@given(ANY, st.lists(ANY.filter(words), min_size=1, max_size=3))
def test_equal_to_rouge_score_with_our_tokeniser_for_any_text(
    answer: str, references: list[str]
) -> None:
    theirs = scored(RougeScorer(list(KINDS.values()), tokenizer=Words()), answer, references)
    assert rouges(answer, references) == pytest.approx(theirs, abs=1e-9)


def test_precision_is_of_the_answer_and_recall_of_the_reference() -> None:
    found = rouges("a b", ["a b c d"])
    assert (found["rouge_l_precision"], found["rouge_l_recall"]) == (1.0, 0.5)


def test_text_in_any_script_is_scored_where_rouge_score_finds_nothing() -> None:
    for text in ("今日は天気です", "Здравствуй мир", "مرحبا بالعالم", "नमस्ते दुनिया"):
        assert scored(RougeScorer(list(KINDS.values())), text, [text])["rouge_1_f1"] == 0
        assert rouges(text, [text])["rouge_2_f1"] == 1
    assert rouges("今日は雨です", ["今日は天気です"])["rouge_1_precision"] == pytest.approx(5 / 6)


def test_rouge_l_is_over_the_whole_text_and_not_line_by_line() -> None:
    answer, reference = "c d\na b", "a b\nc d"
    by_line = RougeScorer(["rougeLsum"]).score(reference, answer)["rougeLsum"]
    assert by_line.fmeasure == 1
    assert rouges(answer, [reference])["rouge_l_f1"] == 0.5


def test_of_several_references_each_kind_takes_the_one_with_its_best_f1() -> None:
    found = rouges("a b c", ["c b a", "a b x y z"])
    assert found["rouge_1_f1"] == 1  # the first
    assert found["rouge_2_f1"] == pytest.approx(1 / 3)  # the second: one pair of 2 and of 4


def test_short_answers_win_precision_and_the_length_ratio_tells() -> None:
    measured = {one.name: one for one in text_metrics(answered([("a b", ["a b c d"])]))}
    assert measured["rouge_l_precision"].figure() == 1
    assert measured["rouge_l_f1"].figure() == pytest.approx(2 / 3)
    assert measured["length_ratio"].figure() == 0.5


def test_an_exact_answer_of_one_word_has_no_pair() -> None:
    found = rouges("8000", ["8000"])
    assert (found["rouge_1_f1"], found["rouge_2_f1"], found["rouge_l_f1"]) == (1, 0, 1)


@pytest.mark.parametrize("length", [1, 30, 64, 65, 200])
def test_the_longest_common_subsequence_is_the_tables(length: int) -> None:
    draw = random.Random(length)
    for size in (3, 20):
        a = draw.choices("abcdefghijklmnopqrst"[:size], k=length)
        b = draw.choices("abcdefghijklmnopqrst"[:size], k=length + 7)
        assert longest_common(a, b) == longest_common(b, a) == by_table(a, b)


def by_table(a: Sequence[str], b: Sequence[str]) -> int:
    row = [0] * (len(b) + 1)
    for one in a:
        above = row
        row = [0]
        for place, other in enumerate(b):
            row.append(above[place] + 1 if one == other else max(above[place + 1], row[-1]))
    return row[-1]
