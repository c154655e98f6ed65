"""Answers with their references as pairs, for tests of metrics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from model_pipeline.evaluation.examples import Example, Pair, Prediction


def answered(texts: Iterable[tuple[str, Sequence[str]]]) -> list[Pair]:
    return [
        Pair(Example(str(n), "Why?", references=tuple(references)), Prediction(str(n), answer))
        for n, (answer, references) in enumerate(texts)
    ]
