"""Answers of people, with the passages that say them named as a model is told to."""

from __future__ import annotations

import pytest

from model_pipeline.embedding.onnx_embedder import OnnxEmbedder
from rag_service.generate.recited import recited
from tests.rag_service.generate.conftest import NewPassage

SHOP = (
    "The shop opens at nine on weekdays. It is closed on public holidays.",
    "A tent can be returned within 30 days. Bring the receipt with you.",
)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("The shop opens at nine.", "The shop opens at nine [1]."),
        ("Tents can be returned within 30 days [7].", "Tents can be returned within 30 days [2]."),
        (
            "The shop opens at nine [2]. Tents can be returned within 30 days.",
            "The shop opens at nine [1]. Tents can be returned within 30 days [2].",
        ),
        ("The shop opens at ten. It was built by elves.", None),
        ("It was built by elves. The shop opens at nine!", "The shop opens at nine [1]!"),
        ("A tent can be returned within 40 days.", None),
        ("A tent cannot be returned within 30 days.", None),
        ("The documents do not say when the shop opens.", None),
        ("", None),
    ],
)  # fmt: skip
def test_each_sentence_with_the_passage_that_says_it_or_not_at_all(
    embedder: OnnxEmbedder, new_passage: NewPassage, answer: str, expected: str | None
) -> None:
    passages = [new_passage(content) for content in SHOP]
    assert recited("What are the shop's rules?", answer, passages, embedder) == expected
