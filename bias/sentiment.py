"""How friendly a text sounds, from -1 to 1, by VADER's lexicon and rules (Hutto and Gilbert 2014).

Known limits: English; made for short texts, so a longer one is the mean of its sentences.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from model_pipeline.text.sentences import sentences

if TYPE_CHECKING:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer


def sentiment(text: str) -> float:
    found = [text[one.start : one.end] for one in sentences(text)]
    if not found:
        return 0.0
    scores = [float(_analyzer().polarity_scores(one)["compound"]) for one in found]
    return sum(scores) / len(scores)


def signature() -> str:
    return f"vader-{version('vaderSentiment')}|mean of sentences|v1"


@cache
def _analyzer() -> SentimentIntensityAnalyzer:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()
