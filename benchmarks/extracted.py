"""Answers that the extractive generator gives: once from what the search finds, once from the same
without the passages that hold the answer. Whether they cite a correct passage is known."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.answered import Answered
from benchmarks.corpora import Corpus, corpora
from benchmarks.rated import Rated
from benchmarks.stored import retriever, store
from model_pipeline.domain import Embedder, Passage
from model_pipeline.evaluation.examples import Example, Pair, Prediction, Retrieved
from model_pipeline.store.embedded import embedded_postgres
from rag_service.condense import condense
from rag_service.generate.extractive import Extractive

PASSAGES = 5
MARK = re.compile(r"\s*\[\d+\]")


def extracted(every: Sequence[Answered], embedder: Embedder) -> list[Rated]:
    """Worth 1 where a passage that holds the answer is cited, else 0; what was declined is left
    out. Ingests both collections first: a minute."""
    found = corpora()
    with tempfile.TemporaryDirectory() as folder, embedded_postgres(Path(folder)) as conninfo:
        store(conninfo, embedder, found)
        return asyncio.run(_extracted(conninfo, every, found, embedder))


async def _extracted(
    conninfo: str, every: Sequence[Answered], found: Sequence[Corpus], embedder: Embedder
) -> list[Rated]:
    generator = Extractive(embedder)
    rows: list[Rated] = []
    async with retriever(conninfo, embedder) as ours:
        for one, corpus, relevant in _judged(every, found):
            searched = condense(one.question, one.history)
            result = await ours.retrieve(
                searched.question,
                k=2 * PASSAGES,
                collection=corpus.collection,
                words=searched.words,
                context=searched.context,
            )
            others = [passage for passage in result.passages if passage.source not in relevant]
            for passages in (result.passages, others):
                row = _row(one, searched.text, passages[:PASSAGES], relevant, generator)
                rows += [row] if row else []
    return rows


def _judged(
    every: Sequence[Answered], found: Sequence[Corpus]
) -> Iterator[tuple[Answered, Corpus, dict[str, int]]]:
    """Each question that has an answer, where it is searched and what it finds there at best."""
    for corpus in found:
        by_question = {text: key for key, text in corpus.questions.items()}
        for one in every:
            key = one.key if one.key in corpus.questions else by_question.get(one.question)
            if key is not None and one.label == "ANSWERABLE":
                yield one, corpus, corpus.relevant[key]


def _row(
    one: Answered,
    question: str,
    passages: Sequence[Passage],
    relevant: dict[str, int],
    generator: Extractive,
) -> Rated | None:
    drafts = generator.drafts(question, passages)
    if any(draft.declined for draft in drafts):
        return None
    right = any(
        passages[claim.passage].source in relevant for each in drafts for claim in each.claims
    )
    answer = MARK.sub("", "".join(draft.text for draft in drafts))
    kept = tuple(Retrieved(passage.source, passage.content) for passage in passages)
    pair = Pair(
        Example(one.key, one.question, (one.answer,), history=one.history),
        Prediction(one.key, answer, passages=kept),
    )
    return Rated("extractive", ("relevance", "coverage"), one.half, one.domain, pair, float(right))
