"""BLEU against sacrebleu and nltk, and each of its known pitfalls."""

import warnings
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.translate.bleu_score import corpus_bleu
from sacrebleu.metrics.bleu import BLEU

from model_pipeline.evaluation.bootstrap import interval
from model_pipeline.evaluation.measured import Measured
from model_pipeline.evaluation.text_metrics import text_metrics
from model_pipeline.evaluation.tokens import tokens_13a
from tests.model_pipeline.evaluation.answers import answered

Texts = tuple[str, list[str]]

SENTENCES = [
    "The index is built in the background; reads go on, at 3.5 ms each.",
    "Set the key in the environment, then restart the service (twice).",
    "It is not supported on Windows, but it works on Linux and macOS.",
]
WORDS = st.lists(
    st.sampled_from(["the", "index", "is", "built", "a", "3.5", "ms,", "naïve", "-", "it's"]),
    min_size=1,
    max_size=12,
).map(" ".join)
CORPORA = st.lists(
    st.tuples(WORDS, st.lists(WORDS, min_size=1, max_size=3)), min_size=1, max_size=5
)


def bleus(pairs: Sequence[Texts]) -> list[Measured]:
    return text_metrics(answered(pairs))[:4]


def sacrebleus(pairs: Sequence[Texts], n: int, *, effective: bool = True) -> float:
    score = BLEU(max_ngram_order=n, smooth_method="none", effective_order=effective)
    most = max(len(references) for _, references in pairs)
    streams = [[dict(enumerate(refs)).get(i) for _, refs in pairs] for i in range(most)]
    return score.corpus_score([answer for answer, _ in pairs], streams).score / 100


def nltks(pairs: Sequence[Texts]) -> list[float]:
    weights = [tuple(1 / n for _ in range(n)) for n in range(1, 5)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of orders without a match
        return corpus_bleu(
            [[tokens_13a(one) for one in references] for _, references in pairs],
            [tokens_13a(answer) for answer, _ in pairs],
            weights=weights,
        )


@settings(max_examples=100)
@given(CORPORA)
def test_equal_to_sacrebleu_over_the_set_and_for_each_answer(pairs: list[Texts]) -> None:
    for n, measured in enumerate(bleus(pairs), 1):
        assert measured.figure() == pytest.approx(sacrebleus(pairs, n), abs=1e-9)
        alone = [sacrebleus([pair], n) for pair in pairs]
        assert measured.each() == pytest.approx(alone, abs=1e-9)


@settings(max_examples=100)
@given(CORPORA)
def test_equal_to_nltk_where_answers_have_four_words(pairs: list[Texts]) -> None:
    pairs = [(f"{answer} to the very end", references) for answer, references in pairs]
    assert [one.figure() for one in bleus(pairs)] == pytest.approx(nltks(pairs), abs=1e-9)


def test_equal_to_sacrebleus_default_and_to_nltk_on_sentences() -> None:
    pairs = [(SENTENCES[0].replace("built", "made"), SENTENCES[:1]), (SENTENCES[1], SENTENCES)]
    for n, (measured, nltk) in enumerate(zip(bleus(pairs), nltks(pairs), strict=True), 1):
        default = BLEU(max_ngram_order=n).corpus_score(
            [answer for answer, _ in pairs], [[SENTENCES[0], SENTENCES[i]] for i in range(3)]
        )
        assert measured.figure() == pytest.approx(default.score / 100, abs=1e-9)
        assert measured.figure() == pytest.approx(nltk, abs=1e-9)


def test_a_resample_is_the_set_with_its_examples_repeated() -> None:
    pairs = [(one.replace("the", "a"), [one]) for one in SENTENCES]
    drawn = [pairs[0], pairs[0], pairs[2]]
    for n, measured in enumerate(bleus(pairs), 1):
        figure = measured.figures(np.array([[2.0, 0.0, 1.0]]))[0]
        assert figure == pytest.approx(sacrebleus(drawn, n), abs=1e-9)
        found = interval(measured, seed=0, draws=200)
        assert found.low <= measured.figure() <= found.high


def test_the_tokeniser_is_13a_and_not_white_space() -> None:
    pair = ("So it works on Linux, and on macOS.", ["So it works on Linux , and on macOS ."])
    assert corpus_bleu([[pair[1][0].split()]], [pair[0].split()]) < 0.6
    assert bleus([pair])[3].figure() == 1.0
    assert "tok:13a" in bleus([pair])[3].signature


def test_orders_are_cumulative_and_the_set_is_not_the_mean_of_its_answers() -> None:
    pairs = [(SENTENCES[0], SENTENCES[:1]), ("It is not so.", SENTENCES[2:])]
    bleu_1, _, _, bleu_4 = bleus(pairs)
    only_fours = corpus_bleu(
        [[tokens_13a(one) for one in refs] for _, refs in pairs],
        [tokens_13a(answer) for answer, _ in pairs],
        weights=(0, 0, 0, 1),
    )
    assert abs(bleu_4.figure() - only_fours) > 0.01
    assert abs(bleu_1.figure() - bleu_1.each().mean()) > 0.01


def test_an_exact_answer_of_two_words_is_right_by_itself_and_the_signature_says_why() -> None:
    pairs = [("Port 8000", ["Port 8000"])]
    assert [one.figure() for one in bleus(pairs)] == [1, 1, 1, 1]
    assert sacrebleus(pairs, 4, effective=False) == 0
    assert all("eff:yes" in one.signature for one in bleus(pairs))


def test_the_scale_is_one() -> None:
    assert bleus([(SENTENCES[0], SENTENCES[:1])])[3].figure() == 1.0


def test_the_brevity_penalty_takes_the_closest_reference_and_of_two_the_shorter() -> None:
    references = ["a b c d e f", "a b c d", "a b c d e f g h i"]
    assert bleus([("a b c d e", references)])[0].figure() == 1.0  # 4 rather than 6
    assert bleus([("a b c d e", references[::2])])[0].figure() == pytest.approx(np.exp(-1 / 5))


def test_no_shared_word_is_zero_and_words_count_no_more_often_than_in_the_reference() -> None:
    assert [one.figure() for one in bleus([("x y", ["a b"])])] == [0, 0, 0, 0]
    assert bleus([("the the the the", ["the cat"])])[0].figure() == 0.25
