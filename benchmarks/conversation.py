"""`python -m benchmarks.conversation`: what is found for follow-ups, by what is searched for them.

MTRAG-UN's tasks that have relevant passages, on the real store. "Another's turns" gives each
follow-up the turns of another conversation: what a way loses there against the question alone, it
loses where the topic changes (and where nobody could know what is meant).
"""

from __future__ import annotations

import asyncio
import random
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.corpora import Corpus, corpora
from benchmarks.stored import retriever, store
from benchmarks.turns import Task, tasks
from model_pipeline.domain import Turn
from model_pipeline.embedding.onnx_embedder import open_onnx_embedder
from model_pipeline.evaluation.ranking import ndcg, recall
from model_pipeline.store.embedded import embedded_postgres
from rag_service.condense import Condensed, condense
from rag_service.retrieve import MAX_QUESTION, Retriever

Way = Callable[[str, Sequence[Turn]], Condensed]
K = 10
# What the rule replaced: short questions and those that begin by pointing back took the whole last
# question along.
OLD_POINTS_BACK = re.compile(
    r"\s*(?:and|but|or|so|it|its|they|them|their|this|that|these|those|he|she|what about|how about|"
    r"why|why not|what else|which one|the (?:first|second|third|last|other|same))\b",
    re.IGNORECASE,
)


def alone(question: str, history: Sequence[Turn]) -> Condensed:
    return Condensed(question)


def questions(question: str, history: Sequence[Turn]) -> Condensed:
    return _joined([*(turn.content for turn in history if turn.role == "user"), question])


def everything(question: str, history: Sequence[Turn]) -> Condensed:
    return _joined([*(turn.content for turn in history), question])


def old_rule(question: str, history: Sequence[Turn]) -> Condensed:
    before = [turn.content for turn in history if turn.role == "user"]
    leans = len(question.split()) <= 4 or OLD_POINTS_BACK.match(question)
    return _joined([before[-1][:500], question]) if before and leans else Condensed(question)


def _joined(texts: Sequence[str]) -> Condensed:
    return Condensed(" ".join(texts)[-MAX_QUESTION:])


WAYS: dict[str, Way] = {
    "the question alone": alone,
    "all questions, joined": questions,
    "all turns, joined": everything,
    "the rule before": old_rule,
    "condensed": condense,
}


async def scored(
    ours: Retriever, corpus: Corpus, asked: Sequence[Task], way: Way
) -> list[tuple[float, float]]:
    """nDCG@10 and recall@5 of each task."""
    scores = []
    for task in asked:
        condensed = way(task.question, task.history)
        result = await ours.retrieve(
            condensed.question,
            k=K,
            collection=corpus.collection,
            words=condensed.words,
            context=condensed.context,
        )
        found = [passage.source for passage in result.passages]
        relevant = corpus.relevant[task.task_id]
        scores.append((ndcg(found, relevant), recall(found, relevant, 5)))
    return scores


def with_anothers_turns(asked: Sequence[Task]) -> list[Task]:
    """The follow-ups, each after the turns of another conversation; always the same ones."""
    others = list(asked)
    random.Random(7).shuffle(others)
    return [
        replace(task, history=other.history)
        for task, other in zip(asked, others, strict=True)
        if task is not other
    ]


def _mean(scores: Sequence[tuple[float, float]]) -> str:
    return " / ".join(f"{statistics.mean(column):.3f}" for column in zip(*scores, strict=True))


async def measure(ours: Retriever, corpus: Corpus) -> None:
    asked = [task for task in tasks() if task.task_id in corpus.relevant]
    follow_ups = [task for task in asked if any(turn.role == "user" for turn in task.history)]
    swapped = with_anothers_turns(follow_ups)
    print(f"{len(asked)} tasks, {len(follow_ups)} follow-ups; nDCG@10 / recall@5")
    heads = ("", "all", "follow-ups", "half 0", "half 1", "after another's turns")
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for name, way in WAYS.items():
        scores = dict(zip(asked, await scored(ours, corpus, asked, way), strict=True))
        columns = [
            list(scores.values()),
            [scores[task] for task in follow_ups],
            *([scores[task] for task in follow_ups if task.half == half] for half in (0, 1)),
            await scored(ours, corpus, swapped, way),
        ]
        print(f"| {name} | {' | '.join(map(_mean, columns))} |", flush=True)
    times = []
    for task in follow_ups:
        started = time.perf_counter()
        condense(task.question, task.history)
        times.append((time.perf_counter() - started) * 1000)
    print(f"condensing takes {statistics.median(times):.2f} ms (median), {max(times):.2f} at most")


def main() -> None:
    corpus = next(one for one in corpora() if one.collection == "mtrag")
    with tempfile.TemporaryDirectory() as folder:
        embedder = open_onnx_embedder(cache_dir=Path(folder) / "cache", threads=2)
        with embedded_postgres(Path(folder) / "postgres") as conninfo:
            store(conninfo, embedder, [corpus])

            async def run() -> None:
                async with retriever(conninfo, embedder) as ours:
                    await measure(ours, corpus)

            asyncio.run(run())


if __name__ == "__main__":
    main()
