"""The plain scores, against the libraries called by themselves."""

from __future__ import annotations

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer

from model_pipeline.embedding.onnx_embedder import OnnxEmbedder
from model_pipeline.evaluation.beside import held_against, scored
from model_pipeline.evaluation.examples import Example, Pair, Prediction, Retrieved
from model_pipeline.evaluation.plain import Plain

ANSWER = "The archives are in Bonn."
TEXTS = ["It is in Bonn, the archive.", "Nobody knows."]


def test_the_best_of_several_texts_counts(embedder: OnnxEmbedder) -> None:
    plain = Plain(embedder)
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    each = [scorer.score(text, ANSWER)["rougeL"].fmeasure for text in TEXTS]
    assert plain.rouge_l([ANSWER], [TEXTS]) == pytest.approx([max(each)])
    vectors = embedder.embed([ANSWER, *TEXTS])
    assert plain.cosine([ANSWER], [TEXTS]) == pytest.approx(
        (vectors[1:] @ vectors[0]).max(), abs=0.01
    )
    assert plain.cosine([ANSWER], [TEXTS[1:]]) < plain.cosine([ANSWER], [TEXTS])


def pair(*references: str, passages: tuple[str, ...] = ("It is in Bonn.", "It is old.")) -> Pair:
    kept = tuple(Retrieved("", text) for text in passages)
    return Pair(Example("1", "Where is it?", references), Prediction("1", ANSWER, passages=kept))


def test_the_plain_scores_read_what_the_metric_reads() -> None:
    assert held_against("coverage", pair("a", "b")) == ("a", "b")
    assert held_against("relevance", pair("a")) == ("a",)
    assert held_against("relevance", pair()) == ["Where is it?"]
    for metric in ("coverage", "faithfulness"):
        assert held_against(metric, pair()) == ["It is in Bonn.\nIt is old."]
    assert held_against("faithfulness", pair("a")) == ["It is in Bonn.\nIt is old."]


def test_each_metric_stands_beside_them(embedder: OnnxEmbedder) -> None:
    found = scored([pair("It is in Bonn."), pair("It is in Bonn.", passages=())], embedder)
    assert list(found) == ["relevance", "coverage", "faithfulness"]
    for one in found.values():
        assert np.isfinite(one.rouge_l).all()
        assert np.isfinite(one.cosine).all()
    assert np.isfinite(found["faithfulness"].own).tolist() == [True, False]
