"""Builds what makes test sets and evaluates releases."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from model_pipeline.errors import ConfigurationError, NotFound
from model_pipeline.evaluation.examples import Example, Prediction
from model_pipeline.evaluation.model_questions import SEARCHED, ModelQuestions
from model_pipeline.evaluation.test_sets import TestSets
from model_pipeline.store.connect import open_pool
from model_pipeline.store.corpus import PgCorpus
from model_pipeline.store.evaluations import PgEvaluations
from model_pipeline.store.pg_store import PgStore
from promptly import bootstrap, generators
from promptly.settings import Settings
from rag_service.generate.factory import EXTRACTIVE, open_writer
from rag_service.generate.prompt import plain
from rag_service.generate.writer import Cut, Message

if TYPE_CHECKING:
    from promptly.serving import Answering


@dataclass(frozen=True, slots=True)
class Evaluating:
    """What the database holds of evaluations, and what test sets are made of."""

    conninfo: str
    store: PgStore
    records: PgEvaluations
    test_sets: TestSets
    corpus: PgCorpus


@contextmanager
def evaluating(settings: Settings) -> Iterator[Evaluating]:
    with (
        bootstrap.database(settings) as conninfo,
        open_pool(conninfo, min_size=1, max_size=4) as pool,
    ):
        records = PgEvaluations(pool)
        yield Evaluating(
            conninfo,
            PgStore(pool),
            records,
            TestSets(settings.test_sets_dir, records),
            PgCorpus(pool),
        )


class ActiveRelease:
    """The release that the settings name, asked in this process as the service asks it, without
    answers kept from before."""

    def __init__(self, parts: Answering, *, collection: str | None, k: int) -> None:
        self._parts = parts
        self._collection, self._k = collection, k
        self.release_id = parts.release_id()

    async def documents(self) -> str:
        """Stands for all that can be found: another one as soon as a document changes."""
        scope = await self._parts.store.scope(self._collection, self._parts.embedders.current.name)
        return hashlib.sha256(str(scope).encode()).hexdigest()[:16]

    async def answer(self, example: Example) -> Prediction:
        found = await self._parts.answerer.answer(
            example.question, k=self._k, collection=self._collection, history=example.history
        )
        return Prediction.from_answer(example.example_id, found)


@asynccontextmanager
async def active_release(
    settings: Settings, opened: Evaluating, *, collection: str | None, k: int
) -> AsyncIterator[ActiveRelease]:
    """Raises NotFound for a collection that is not there: each answer would fail by it."""
    from promptly import serving  # takes time to import, and few commands need it

    if collection is not None and collection not in opened.corpus.collections():
        raise NotFound(f"There is no collection {collection!r}: `promptly documents list`.")
    settings = settings.model_copy(update={"cache": False})
    async with serving.answering(settings, opened.conninfo, opened.store) as parts:
        yield ActiveRelease(parts, collection=collection, k=k)


@asynccontextmanager
async def model_questions(
    settings: Settings, opened: Evaluating, collection: str
) -> AsyncIterator[ModelQuestions]:
    """By the language model that is set. Raises ConfigurationError where there is none."""
    from promptly import serving

    if settings.generator == EXTRACTIVE:
        raise ConfigurationError(
            "--by model needs a language model: set PROMPTLY_GENERATOR, or leave it at --by rules."
        )
    writer = await asyncio.to_thread(open_writer, settings.generator, generators.options(settings))
    assert writer is not None

    async def write(system: str, user: str) -> str:
        messages = [Message("system", system), Message("user", plain(user, writer.special_tokens))]
        async with aclosing(writer.write(messages)) as pieces:
            return "".join([piece async for piece in pieces if not isinstance(piece, Cut)])

    searching = settings.model_copy(update={"generator": EXTRACTIVE, "cache": False})
    try:
        async with serving.answering(searching, opened.conninfo, opened.store) as parts:

            async def search(question: str) -> Sequence[str]:
                found = await parts.retriever.retrieve(question, k=SEARCHED, collection=collection)
                return [passage.content for passage in found.passages]

            yield ModelQuestions(write, search)
    finally:
        await writer.close()
