"""What people wrote as answers to the public questions, and which of them are worded otherwise."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import numpy as np

from benchmarks.corpora import DATA, Corpus
from benchmarks.turns import FILE, Task
from model_pipeline.domain import Answer, Embedder
from rag_service.generate.words import coverage

MARKER = re.compile(r" \[\d+\]")


def references() -> dict[str, str]:
    """By the question's id."""
    path = DATA / "anthropic_docs_qa/docs_evaluation_dataset.json"
    single = json.loads(path.read_text(encoding="utf-8"))
    turns = map(json.loads, FILE.read_text(encoding="utf-8").splitlines())
    return {row["id"]: row["correct_answer"] for row in single} | {
        str(row["task_id"]): row["targets"][0]["text"] for row in turns
    }


def likeness(
    answers: Sequence[Answer], asked: Sequence[Task], written: dict[str, str], embedder: Embedder
) -> float:
    """The mean cosine of the answers, but for those that declined, with what people wrote."""
    pairs = [
        (MARKER.sub("", answer.answer), written[task.task_id])
        for answer, task in zip(answers, asked, strict=True)
        if not answer.declined
    ]
    ours, theirs = (embedder.embed(texts) for texts in zip(*pairs, strict=True))
    return float(np.mean(np.sum(ours * theirs, axis=1)))


def worded_otherwise(corpus: Corpus, asked: Sequence[Task]) -> set[str]:
    """The ids of the quarter that shares the fewest words with the passages that answer it."""

    def shared(task: Task) -> float:
        texts = [corpus.passages[passage] for passage in corpus.relevant[task.task_id]]
        return float(coverage(task.question, texts, [""], np.zeros(len(texts), np.intp)).max())

    ordered = sorted(asked, key=shared)
    return {task.task_id for task in ordered[: len(ordered) // 4]}
