"""`python -m benchmarks.answers`: what extractive answers cite, when they decline, what they take.

The real pipeline (condense, search, generate, verify) on two ingested collections. What it goes by
(rag_service/generate/trust.py) is fitted on half 0 of the questions; half 1 is held out.
`--fit` prints those numbers anew.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import fit
from benchmarks.corpora import Corpus, corpora
from benchmarks.references import likeness, references, worded_otherwise
from benchmarks.stored import retriever, store
from benchmarks.turns import Task, half, tasks
from model_pipeline.domain import Answer, Embedder
from model_pipeline.embedding.onnx_embedder import OnnxEmbedder, open_onnx_embedder
from model_pipeline.evaluation.citations import citations
from model_pipeline.evaluation.declining import declining
from model_pipeline.evaluation.examples import Example, Pair, Prediction
from model_pipeline.evaluation.measured import Metric
from model_pipeline.store.embedded import embedded_postgres
from rag_service.answer import Answerer
from rag_service.generate.extractive import Extractive
from rag_service.retrieve import Retriever

PASSAGES = 5
BLOCK = 25
PAUSE_S = 0.2
# What is partly answered, or not said clearly enough, is neither.
LABELS = {"ANSWERABLE": True, "UNANSWERABLE": False}


async def answered(answerer: Answerer, corpus: Corpus, asked: Sequence[Task]) -> list[Answer]:
    return [
        await answerer.answer(
            task.question, k=PASSAGES, collection=corpus.collection, history=task.history
        )
        for task in asked
    ]


def without_turns(corpus: Corpus) -> list[Task]:
    """The questions of a collection of single ones, all of which it answers."""
    return [Task(key, half(key), "ANSWERABLE", text, ()) for key, text in corpus.questions.items()]


def pairs(asked: Sequence[Task], answers: Sequence[Answer], corpus: Corpus) -> list[Pair]:
    return [
        Pair(
            Example(
                task.task_id,
                task.question,
                relevant=corpus.relevant.get(task.task_id),
                answerable=LABELS.get(task.label),
            ),
            Prediction.from_answer(task.task_id, answer),
        )
        for task, answer in zip(asked, answers, strict=True)
    ]


def figures(metric: Metric, measured: Sequence[Pair]) -> dict[str, float]:
    return {one.name: one.figure() for one in metric(measured)}


async def citing(
    answerer: Answerer, embedder: Embedder, corpus: Corpus, asked: Sequence[Task]
) -> None:
    answers = await answered(answerer, corpus, asked)
    written, otherwise = references(), worded_otherwise(corpus, asked)
    for name, held in (
        ("all", asked),
        ("half 0", [task for task in asked if task.half == 0]),
        ("half 1, held out", [task for task in asked if task.half == 1]),
        ("worded otherwise", [task for task in asked if task.task_id in otherwise]),
    ):
        chosen = [answer for answer, task in zip(answers, asked, strict=True) if task in held]
        given = [answer for answer in chosen if not answer.declined]
        found = figures(citations, pairs(held, chosen, corpus))
        print(
            f"| {corpus.collection}, {name} | {len(given)} of {len(chosen)} "
            f"| {found['citation_recall']:.1%} | {found['citation_precision']:.1%} "
            f"| {statistics.mean(len(one.citations) for one in given):.2f} "
            f"| {likeness(chosen, held, written, embedder):.3f} "
            f"| {'all' if found['quote_validity'] == 1 else 'NOT ALL'} |"
        )


async def declines(answerer: Answerer, corpus: Corpus) -> None:
    asked = tasks()
    every = pairs(asked, await answered(answerer, corpus, asked), corpus)
    for number, name in enumerate(("half 0", "half 1, held out")):
        chosen = [
            (task, pair) for task, pair in zip(asked, every, strict=True) if task.half == number
        ]
        found = figures(declining, [pair for _, pair in chosen])
        declined: dict[str, list[bool]] = {}
        for task, pair in chosen:
            declined.setdefault(task.label, []).append(pair.prediction.declined)
        shares = [
            f"{sum(declined[label])} of {len(declined[label])}"
            for label in ("UNANSWERABLE", "ANSWERABLE", "PARTIAL", "UNDERSPECIFIED")
        ]
        print(
            f"| {name} | {found['declining_precision']:.2f} | {found['declining_recall']:.2f} "
            f"| {' | '.join(shares)} |"
        )


async def timed(ours: Retriever, answerer: Answerer, corpus: Corpus) -> None:
    """In blocks, in turns: a drift of the machine's speed falls on both. The processor's time is
    this process's, of all its threads; the database's is not in it."""

    async def search(question: str) -> object:
        return await ours.retrieve(question, collection=corpus.collection)

    async def ask(question: str) -> object:
        return await answerer.answer(question, k=PASSAGES, collection=corpus.collection)

    took: tuple[list[tuple[float, float]], ...] = ([], [])
    asked = list(corpus.questions.values())
    for first in range(0, len(asked), BLOCK):
        block = asked[first : first + BLOCK]
        for times, call in zip(took, (search, ask), strict=True):
            await asyncio.sleep(PAUSE_S)
            for question in block[:1] + block:
                started = time.perf_counter(), time.process_time()
                await call(question)
                ended = time.perf_counter(), time.process_time()
                times.append((ended[0] - started[0], ended[1] - started[1]))
            del times[-len(block) - 1]  # caches held the other side: not counted
    for name, number in (("processor, p50", 1), ("p50", 0)):
        one, other = (statistics.median(pair[number] for pair in times) * 1000 for times in took)
        print(f"{name}: an answer {other:.1f} ms, a search {one:.1f} ms: {other / one:.2f} times")


async def measure(conninfo: str, embedder: OnnxEmbedder, found: dict[str, Corpus]) -> None:
    docs, talks = found["anthropic_docs_qa"], found["mtrag"]
    with ThreadPoolExecutor(2) as executor:
        async with retriever(conninfo, embedder) as ours:
            if "--fit" in sys.argv:
                await fit.fit(ours, embedder, [(docs, without_turns(docs)), (talks, tasks())])
                return
            answerer = Answerer(ours, Extractive(embedder, executor), "benchmark")
            print(
                "| citations | answered | cite a correct passage | correct citations | an answer "
                "| like the reference | quotes verified |\n|---|---|---|---|---|---|---|"
            )
            await citing(answerer, embedder, docs, without_turns(docs))
            answerable = [task for task in tasks() if task.label == "ANSWERABLE"]
            await citing(answerer, embedder, talks, answerable)
            print(
                "\n| declining | precision | recall | unanswerable | answerable | partly "
                "| underspecified |\n|---|---|---|---|---|---|---|"
            )
            await declines(answerer, talks)
            print()
            await timed(ours, answerer, docs)


def main() -> None:
    found = {corpus.collection: corpus for corpus in corpora()}
    with tempfile.TemporaryDirectory() as folder:
        embedder = open_onnx_embedder(cache_dir=Path(folder) / "cache", threads=2)
        with embedded_postgres(Path(folder) / "postgres") as conninfo:
            store(conninfo, embedder, list(found.values()))
            asyncio.run(measure(conninfo, embedder, found))


if __name__ == "__main__":
    main()
