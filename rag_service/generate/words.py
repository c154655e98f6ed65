"""The words that a question and a sentence have in common, by their English stems."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model_pipeline.text.words import STOPWORDS, WORD, stemmed, stems


def coverage(
    question: str, texts: Sequence[str], above: Sequence[str], of: NDArray[np.intp]
) -> NDArray[np.float64]:
    """The share of the question's words that each text holds, [n], where rare ones among the texts
    say more. Those that only what it stands under holds, `above[of[n]]`, count half."""
    terms = stemmed([word for word in WORD.findall(question.lower()) if word not in STOPWORDS])
    if not terms or not texts:
        return np.zeros(len(texts))
    held = _held(list(terms), [WORD.findall(text.lower()) for text in (*texts, *above)])
    own, under = held[: len(texts)], held[len(texts) :][of]
    weights = np.log(1 + len(texts) / (1 + own.sum(axis=0)))
    return np.asarray(np.where(own, 1.0, 0.5 * under) @ weights / weights.sum())


def _held(terms: Sequence[str], texts: Sequence[Sequence[str]]) -> NDArray[np.bool_]:
    """Which of the stems are among each text's words, [len(texts), len(terms)]."""
    # A stem begins as its word does: only what begins like one of them needs stemming.
    initials = {term[0] for term in terms}
    words = [*{word for text in texts for word in text if word[0] in initials}]
    column = {term: number for number, term in enumerate(terms)}
    columns = {
        word: column[stem] for word, stem in zip(words, stems(words), strict=True) if stem in column
    }
    held = np.zeros((len(texts), len(terms)), dtype=np.bool_)
    for row, text in enumerate(texts):
        for word in columns.keys() & text:
            held[row, columns[word]] = True
    return held
