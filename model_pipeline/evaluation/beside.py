"""The metrics that need no language model, each beside the plain scores that it should beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from model_pipeline.domain import Embedder
from model_pipeline.evaluation.examples import Pair
from model_pipeline.evaluation.meaning import meaning
from model_pipeline.evaluation.plain import Plain, Values


@dataclass(frozen=True, slots=True)
class Scored:
    """[n] each; `own` is NaN where the metric has none."""

    own: Values
    rouge_l: Values
    cosine: Values


def scored(pairs: Sequence[Pair], embedder: Embedder) -> dict[str, Scored]:
    """By metric. The plain scores hold the answer against what the metric does: the passages for
    faithfulness, else the reference; without one, the question for relevance and the passages for
    coverage."""
    plain = Plain(embedder)
    answers = [pair.prediction.answer for pair in pairs]
    found = {}
    for one in meaning(embedder)(pairs):
        held = [held_against(one.name, pair) for pair in pairs]
        found[one.name] = Scored(
            one.each(), plain.rouge_l(answers, held), plain.cosine(answers, held)
        )
    return found


def held_against(metric: str, pair: Pair) -> Sequence[str]:
    passages = ["\n".join(one.content for one in pair.prediction.passages)]
    if metric == "faithfulness":
        return passages
    without = [pair.example.question] if metric == "relevance" else passages
    return pair.example.references or without
