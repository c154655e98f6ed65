"""Which passages are cited, and when an answer is declined: the rule on made-up passages, and the
bars on public questions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from numpy.typing import NDArray

from model_pipeline.domain import Answer, Passage
from model_pipeline.embedding.onnx_embedder import OnnxEmbedder
from model_pipeline.evaluation.citations import citations
from model_pipeline.text.sentences import sentences
from rag_service.generate.extractive import Extractive
from rag_service.generate.trust import SUPPORT, TRUSTED, evidence, found, support, trust

OPEN = "The shop is open from nine in the morning to six in the evening."
SUNDAYS = "On Sundays and holidays the shop is open until noon."
STAFF = "The shop has twelve people on its staff."


def passage(content: str, *, dense: float | None = None, lexical: float | None = None) -> Passage:
    ids = uuid4(), uuid4()
    return Passage(*ids, "shop.md", "Shop", (), content, {}, 0, 0.03, dense, lexical)


def trusted(passages: Sequence[Passage], nearness: Sequence[float]) -> list[float]:
    sentences_of = np.arange(len(passages))
    coverage = np.full(len(passages), 0.5)
    return list(trust(evidence(passages, sentences_of, np.array(nearness), coverage)))


def test_a_passage_is_trusted_by_how_near_it_is_to_the_best() -> None:
    best = passage(OPEN, dense=0.8, lexical=9.0)
    close, far = replace(best, dense_score=0.78), replace(best, dense_score=0.3, lexical_score=1.0)
    first, second, third = trusted([best, close, far], [0.8, 0.8, 0.2])
    assert first > second > TRUSTED > 0.3 > third


def test_what_the_search_says_counts_before_a_sentence_is_read() -> None:
    near, far = passage(OPEN, dense=0.8, lexical=9.0), passage(STAFF, dense=0.4, lexical=None)
    first, second = trust(found([near, far]))
    assert first > TRUSTED > second


def test_only_trusted_passages_are_cited_beside_the_best(embedder: OnnxEmbedder) -> None:
    best = passage(OPEN, dense=0.8, lexical=9.0)
    question = "When is the shop open?"
    for dense, cited in ((0.79, [0, 1]), (0.2, [0])):
        other = passage(SUNDAYS, dense=dense, lexical=9 * dense)
        drafts = Extractive(embedder).drafts(question, [best, other])
        assert [claim.passage for draft in drafts for claim in draft.claims] == cited


def test_support_is_the_nearest_passage_and_the_words() -> None:
    near, coverage = np.array([0.5, 0.4]), np.array([0.0, 0.4])
    passages = [passage(OPEN, dense=0.6), passage(STAFF, dense=0.2)]
    assert support(passages, near, coverage) == pytest.approx(0.85 * 0.6 + 0.15 * 0.4)
    unknown = [passage(OPEN), passage(STAFF)]
    assert support(unknown, near, coverage) == pytest.approx(0.85 * 0.5 + 0.15 * 0.4)


def test_an_answer_needs_the_passages_support_too(embedder: OnnxEmbedder) -> None:
    question = "When is the shop open?"
    near, far = passage(OPEN, dense=0.8), passage(OPEN, dense=(SUPPORT - 0.15) / 0.85 - 0.01)
    generator = Extractive(embedder)
    assert not generator.drafts(question, [near])[0].declined
    assert generator.drafts(question, [far])[0].declined


class Counting:
    """An embedder that notes what it embeds."""

    def __init__(self, embedder: OnnxEmbedder) -> None:
        self._embedder = embedder
        self.embedded: list[str] = []
        self.name, self.spec = embedder.name, embedder.spec
        self.dimensions, self.max_tokens = embedder.dimensions, embedder.max_tokens

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.embedded += texts
        return self._embedder.embed(texts)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._embedder.count_tokens(texts)


def test_sentences_are_embedded_only_where_words_leave_two_passages_close(
    embedder: OnnxEmbedder,
) -> None:
    question = "When is the shop open?"
    best = passage(OPEN, dense=0.8, lexical=9.0)
    for other, embeds in (
        (passage(STAFF, dense=0.3, lexical=1.0), False),
        (passage(SUNDAYS, dense=0.79, lexical=8.9), True),
        (passage(SUNDAYS), True),  # how near it is nobody knows
    ):
        counting = Counting(embedder)
        drafts = Extractive(counting).drafts(question, [best, other])
        assert not drafts[0].declined
        assert bool(counting.embedded) == embeds


def test_a_table_that_lost_its_lines_is_read_in_pieces() -> None:
    rows = [
        f"Capability {name}Distill lengthy content into key insights for all kinds of teams."
        for name in ("Summary", "Content", "Answers", "Analysis", "Dialogue", "Search")
    ]
    content = "".join(rows)
    assert [content[one.start : one.end] for one in sentences(content)] == rows
    short = content[: 2 * len(rows[0])]
    assert len(sentences(short)) == 1


def test_citations_of_public_questions(
    embedder: OnnxEmbedder, module_database: str, shared_data: Path
) -> None:
    """The bars: 90 % of the answers cite a correct passage, and so do 75 % of the citations."""
    from benchmarks.answers import answered, figures, pairs, without_turns
    from benchmarks.corpora import corpora
    from benchmarks.stored import retriever, store
    from rag_service.answer import Answerer

    docs = next(one for one in corpora() if one.collection == "anthropic_docs_qa")
    store(module_database, embedder, [docs])
    asked = without_turns(docs)
    assert len(asked) == 100

    async def answers() -> list[Answer]:
        with ThreadPoolExecutor(2) as executor:
            async with retriever(module_database, embedder) as ours:
                answerer = Answerer(ours, Extractive(embedder, executor), "test")
                return await answered(answerer, docs, asked)

    given = asyncio.run(answers())
    assert sum(not one.declined for one in given) >= 90
    result = figures(citations, pairs(asked, given, docs))
    assert result["citation_recall"] >= 0.90
    assert result["citation_precision"] >= 0.75
    assert result["quote_validity"] == 1
