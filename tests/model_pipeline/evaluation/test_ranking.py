import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_pipeline.evaluation.examples import Example, Pair, Prediction, Retrieved
from model_pipeline.evaluation.ranking import NOT_GRADED, ndcg, ranking, recall, reciprocal_rank

GRADED = {"a": 3, "b": 2, "c": 1, "d": 0}
SOURCES = [f"s{n}" for n in range(14)]
GRADES = st.dictionaries(st.sampled_from(SOURCES), st.integers(-1, 4), min_size=1).filter(
    lambda grades: max(grades.values()) > 0
)
RANKINGS = st.lists(st.sampled_from(SOURCES), max_size=20)


def pair(ranked: str, relevant: dict[str, int] | None, answerable: bool | None = None) -> Pair:
    passages = tuple(Retrieved(source, "text") for source in ranked)
    example = Example("1", "?", relevant=relevant, answerable=answerable)
    return Pair(example, Prediction("1", "answer", passages=passages))


def test_by_hand() -> None:
    """Gains are the grades, as trec_eval has them: 3, 2, 1 and not 7, 3, 1."""
    best = 3 / 1 + 2 / math.log2(3) + 1 / 2
    assert ndcg("xab", GRADED) == pytest.approx((3 / math.log2(3) + 2 / 2) / best)
    assert ndcg("abc", GRADED) == 1.0
    assert ndcg("cba", GRADED) == pytest.approx((1 + 2 / math.log2(3) + 3 / 2) / best)
    assert recall("xca", GRADED) == pytest.approx(2 / 3)
    assert reciprocal_rank("xdca", GRADED) == pytest.approx(1 / 3)
    assert (ndcg("xyz", GRADED), recall("", GRADED), reciprocal_rank("d", GRADED)) == (0, 0, 0)


def test_by_trec_eval() -> None:
    """What trec_eval (pytrec-eval-terrier 0.5.11) says: ndcg_cut_10, recall_10, recip_rank."""
    relevant = {"s0": 2, "s3": 1, "s5": 3, "s8": 0, "s11": 1, "s12": 1}
    ranked = ["s8", "s3", "s1", "s0", "s2", "s4", "s6", "s7", "s9", "s11", "s5"]
    assert ndcg(ranked, relevant) == pytest.approx(0.31927290546673104, abs=1e-12)
    assert recall(ranked, relevant) == pytest.approx(0.6, abs=1e-12)
    assert reciprocal_rank(ranked, relevant) == pytest.approx(0.5, abs=1e-12)


def test_only_the_first_ten_count() -> None:
    ranked = [*"0123456789", "a"]
    for formula in (ndcg, recall, reciprocal_rank):
        assert formula(ranked, {"a": 1}) == 0
        assert formula(ranked[1:], {"a": 1}) > 0


def test_a_source_is_found_once() -> None:
    """Passages of one source that follow each other neither count twice nor push others down."""
    assert ndcg("aaabbc", GRADED) == 1.0
    assert recall([*"xxxxxxxxxxxx", "a"], {"a": 1}) == 1.0
    assert reciprocal_rank("xxxa", {"a": 1}) == 0.5


def test_more_relevant_sources_than_places() -> None:
    relevant = dict.fromkeys(SOURCES, 1)
    assert ndcg(SOURCES, relevant) == 1.0
    assert recall(SOURCES, relevant) == pytest.approx(10 / 14)


@given(RANKINGS, GRADES)
def test_ranges(ranked: list[str], relevant: dict[str, int]) -> None:
    for formula in (ndcg, recall, reciprocal_rank):
        assert 0 <= formula(ranked, relevant) <= 1 + 1e-12


@given(GRADES)
def test_the_best_order_is_perfect(relevant: dict[str, int]) -> None:
    best = sorted(relevant, key=lambda source: -relevant[source])
    assert ndcg(best, relevant) == pytest.approx(1)
    assert reciprocal_rank(best, relevant) == 1


@given(st.permutations(SOURCES), GRADES, st.integers(0, 8))
def test_a_better_source_moved_up_is_never_worse(
    ranked: list[str], relevant: dict[str, int], place: int
) -> None:
    upper, lower = ranked[place], ranked[place + 1]
    swapped = [*ranked[:place], lower, upper, *ranked[place + 2 :]]
    if relevant.get(lower, 0) > max(relevant.get(upper, 0), 0):
        assert ndcg(swapped, relevant) > ndcg(ranked, relevant)
        assert reciprocal_rank(swapped, relevant) >= reciprocal_rank(ranked, relevant)
    assert recall(swapped, relevant) == recall(ranked, relevant) or place == 9


def test_of_predictions() -> None:
    found = ranking(
        [
            pair("xa", {"a": 1}),
            Pair(Example("2", "?", relevant={"a": 1}), Prediction("2", error="It took too long.")),
            pair("xa", {}, answerable=False),
            pair("xa", None, answerable=False),
            pair("xa", None),
        ]
    )
    assert [one.name for one in found] == ["ndcg_10", "recall_10", "mrr_10"]
    assert len({one.signature for one in found}) == 3
    for one, value in zip(found, (1 / math.log2(3), 1.0, 0.5), strict=True):
        assert one.scored.tolist() == [True, True, False, False, False]
        assert one.failures == {4: NOT_GRADED}
        assert one.each()[:2].tolist() == pytest.approx([value, 0.0])
        assert one.figure() == pytest.approx(value / 2)
