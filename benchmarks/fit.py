"""Fits what extractive answers go by, on half 0: `python -m benchmarks.answers --fit`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from benchmarks.corpora import Corpus
from benchmarks.turns import Task
from model_pipeline.domain import Embedder
from model_pipeline.text.sentences import sentences
from rag_service.condense import condense
from rag_service.generate.extractive import Extractive
from rag_service.generate.trust import evidence, found, support
from rag_service.retrieve import Retriever

PASSAGES = 5
RIDGE = 0.33


def logistic(features: NDArray[np.float64], right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights and, last, the constant of a logistic regression, by Newton's method; the constant
    is not held down."""
    inputs = np.column_stack([features, np.ones(len(features))])
    penalty = np.diag([RIDGE] * features.shape[1] + [0.0])
    weights = np.zeros(inputs.shape[1])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-inputs @ weights))
        slope = inputs.T @ (chance - right) + penalty @ weights
        bend = (inputs * (chance * (1 - chance))[:, None]).T @ inputs + penalty
        weights -= np.linalg.solve(bend, slope)
    return weights


def best_threshold(answerable: Sequence[float], unanswerable: Sequence[float]) -> float:
    """Where declining what lies below has the highest F1, in the middle between two neighbours."""
    values = sorted({*answerable, *unanswerable})
    middles = [(a + b) / 2 for a, b in pairwise(values)]

    def f1(threshold: float) -> float:
        rightly = sum(value < threshold for value in unanswerable)
        wrongly = sum(value < threshold for value in answerable)
        return 2 * rightly / (rightly + wrongly + len(unanswerable))

    return max(middles, key=f1)


async def fit(
    ours: Retriever, embedder: Embedder, asked: Sequence[tuple[Corpus, Sequence[Task]]]
) -> None:
    generator = Extractive(embedder)
    searched_only: list[tuple[NDArray[np.float64], bool]] = []
    with_sentences: list[tuple[NDArray[np.float64], bool]] = []
    supports: dict[str, list[float]] = {}
    for corpus, every in asked:
        for task in (task for task in every if task.half == 0):
            searched = condense(task.question, task.history)
            result = await ours.retrieve(
                searched.question,
                k=PASSAGES,
                collection=corpus.collection,
                words=searched.words,
                context=searched.context,
            )
            passages = result.passages
            weighed = generator.weigh(
                searched.text, passages, [sentences(passage.content) for passage in passages]
            )
            if weighed is None:
                continue
            arguments = passages, weighed.nearness, weighed.coverage
            supports.setdefault(task.label, []).append(support(*arguments))
            if task.label != "ANSWERABLE":
                continue
            relevant = corpus.relevant[task.task_id]
            right = [passage.source in relevant for passage in passages]
            searched_only += zip(found(passages), right, strict=True)
            rows = evidence(passages, weighed.of, weighed.nearness, weighed.coverage)
            with_sentences += [(rows[n], right[n]) for n in set(weighed.of.tolist())]
    for name, examples in (("FOUND_WEIGHTS", searched_only), ("WEIGHTS", with_sentences)):
        features, labels = zip(*examples, strict=True)
        weights = logistic(np.array(features), np.array(labels))
        print(f"{name} = ({', '.join(f'{weight:.1f}' for weight in weights)})")
    threshold = best_threshold(supports["ANSWERABLE"], supports["UNANSWERABLE"])
    print(f"SUPPORT = {threshold:.3f}")
