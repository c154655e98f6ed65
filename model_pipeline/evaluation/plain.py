"""The plain scores that others should beat: ROUGE-L's F1 and the cosine of whole texts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer

from model_pipeline.domain import Embedder

LONGEST = 5_000  # characters that ROUGE-L reads: its time grows with the product of both
Values = NDArray[np.float64]


class Plain:
    """Remembers what it compared."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        tokens = DefaultTokenizer(use_stemmer=True)
        tokens.tokenize = cache(tokens.tokenize)
        scorer = RougeScorer(["rougeL"], tokenizer=tokens)
        self._rouge = cache(lambda held, answer: scorer.score(held, answer)["rougeL"].fmeasure)
        self._vectors: dict[str, NDArray[np.float32]] = {}

    def rouge_l(self, answers: Sequence[str], held: Sequence[Sequence[str]]) -> Values:
        """[n], with the text of `held` (one at least each) that is the most alike."""
        return np.array(
            [
                max(self._rouge(one[:LONGEST], answer[:LONGEST]) for one in texts)
                for answer, texts in zip(answers, held, strict=True)
            ]
        )

    def cosine(self, answers: Sequence[str], held: Sequence[Sequence[str]]) -> Values:
        """The same by the embedder."""
        every = {*answers, *(one for texts in held for one in texts)}
        new = sorted(every - self._vectors.keys())
        self._vectors.update(zip(new, self._embedder.embed(new), strict=True))
        return np.array(
            [
                max(float(self._vectors[one] @ self._vectors[answer]) for one in texts)
                for answer, texts in zip(answers, held, strict=True)
            ]
        )
