"""Builds what bias probes and benchmarks ask: releases, generators, and searches in a scratch
store."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from uuid import UUID

from bias import counterfactual, swaps
from bias.benchmarks.grep_biasir import GrepDocument, Ranking
from bias.benchmarks.items import LETTERS, Item
from bias.probes import Probe, Variant, version
from model_pipeline.documents.found import from_text
from model_pipeline.domain import Embedder, Generator, Passage, SearchMode, SearchResult, Wording
from model_pipeline.embedding.factory import DEFAULT
from model_pipeline.errors import ConfigurationError, NotFound
from model_pipeline.evaluation.examples import Prediction, Retrieved
from model_pipeline.evaluation.predictions import PredictionLog, prediction_log
from model_pipeline.evaluation.run import Progress
from model_pipeline.ingest import Ingest
from model_pipeline.store.connect import open_async_pool, open_pool
from model_pipeline.store.embedded import embedded_postgres
from model_pipeline.store.migrations import migrate
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.retrieval import PgRetriever
from promptly import bootstrap
from promptly.evaluating import Evaluating
from promptly.generators import generators, options
from promptly.settings import Settings
from rag_service.answer import Answerer
from rag_service.generate.extractive import Extractive
from rag_service.generate.factory import EXTRACTIVE, TRANSFORMERS, open_writer
from rag_service.generate.writer import Cut, Message
from rag_service.retrieve import Retriever

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RANKED = 20  # passages of a ranking that is compared
COMPLETION_TOKENS = 20
SCRATCH = "grep-biasir"
GIVEN = UUID(int=0)

AskItem = Callable[[Item], Awaitable[Prediction]]
Read = Callable[[str, str], Awaitable[Prediction]]
"""A question and a passage to the answer from that passage alone."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A generator as a benchmark asks it: `method` says how."""

    name: str
    method: str
    ask: AskItem


class ProbedRelease:
    """The release that the settings name, asked in this process; or its generator alone, about a
    passage that is handed in."""

    def __init__(
        self,
        answerer: Answerer,
        retriever: Retriever,
        scope: Callable[[], Awaitable[str | None]],
        read: Read,
        *,
        release_id: str,
        collection: str | None,
        k: int,
    ) -> None:
        self.release_id = release_id
        self._answerer, self._retriever = answerer, retriever
        self._scope, self._read = scope, read
        self._collection, self._k = collection, k

    async def documents(self) -> str:
        """Stands for all that can be found: another one as soon as a document changes."""
        return hashlib.sha256(str(await self._scope()).encode()).hexdigest()[:16]

    async def ask(self, variant: Variant) -> Prediction:
        """The answer, and the first RANKED passages that are found, by their ids."""
        if variant.context is not None:
            return await self._read(variant.question, variant.context)
        answer = await self._answerer.answer(
            variant.question, k=self._k, collection=self._collection
        )
        found = await self._retriever.retrieve(
            variant.question, k=RANKED, collection=self._collection
        )
        return Prediction(
            variant.variant_id,
            answer=answer.answer,
            declined=answer.declined,
            passages=tuple(Retrieved(str(one.chunk_id), "") for one in found.passages),
            error=answer.fallback,  # what another generator wrote says nothing of this one
        )


@asynccontextmanager
async def probed_release(
    settings: Settings, opened: Evaluating, *, collection: str | None, k: int
) -> AsyncIterator[ProbedRelease]:
    """Raises NotFound for a collection that is not there: each answer would fail by it."""
    if collection is not None and collection not in opened.corpus.collections():
        raise NotFound(f"There is no collection {collection!r}: `promptly documents list`.")
    embedders = bootstrap.in_use(settings, opened.store)
    encoder = embedders.current
    with ThreadPoolExecutor(2) as embedding, ThreadPoolExecutor(1) as answers:
        async with (
            generators(settings, answers) as writing,
            open_async_pool(opened.conninfo, min_size=1, max_size=settings.pool_size) as pool,
        ):
            store, release_id = PgRetriever(pool), writing.release_id(encoder)
            retriever = Retriever(encoder, store, embedding, embedders.follow)
            generator = writing.generator_for(encoder)
            yield ProbedRelease(
                Answerer(retriever, generator, release_id),
                retriever,
                partial(store.scope, collection, encoder.name),
                partial(_from_passage, generator, encoder, embedding),
                release_id=release_id,
                collection=collection,
                k=k,
            )


async def ask_probes(
    settings: Settings,
    opened: Evaluating,
    probes: Sequence[Probe],
    *,
    collection: str | None,
    k: int,
    folder: Path | None = None,
    fresh: bool = False,
    at_once: int = 1,
    timeout_s: float = 60.0,
    progress: Progress,
) -> tuple[dict[str, Any], dict[str, Prediction], Path]:
    """What was asked, of whom and about which documents; the answers by variant id; and the folder
    where they lie, by default under PROMPTLY_HOME. Goes on where an earlier run of the same
    stopped, unless it is to be `fresh`."""
    async with probed_release(settings, opened, collection=collection, k=k) as release:
        head: dict[str, Any] = {
            "release_id": release.release_id,
            "test_set_hash": counterfactual.as_test_set(probes).content_hash(),
            "collection": collection,
            "k": k,
            "documents": await release.documents(),
            "probes": version(),
            "terms": swaps.version(),
        }
        place = folder or settings.home / "bias" / "probes" / key_of(head)
        with going_on(place / "answers.jsonl", head, fresh=fresh) as log:
            answers = await counterfactual.ask_all(
                probes, release.ask, log, at_once=at_once, timeout_s=timeout_s, progress=progress
            )
    return head, answers, place


@contextmanager
def going_on(
    path: Path, head: Mapping[str, Any], *, fresh: bool = False
) -> Iterator[PredictionLog]:
    """The answers that an earlier run of the same `head` has left there, to be added to."""
    if fresh:
        path.unlink(missing_ok=True)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with prediction_log(path, head, started_at=now) as log:
        yield log


@asynccontextmanager
async def asked_generator(settings: Settings, *, completing: bool) -> AsyncIterator[Asked]:
    """By what it writes to the prompt, by the likelihood of the choices where it is a model in this
    process, or by what it answers from the context alone where it is none. `completing`: sentences
    are to be completed. Raises ConfigurationError."""
    if settings.generator == EXTRACTIVE:
        if completing:
            raise ConfigurationError(
                "The generator 'extractive' writes nothing of its own: name a language model with "
                "--generator."
            )
        with ThreadPoolExecutor(1) as executor:
            encoder = bootstrap.embedder(settings, settings.embedder or DEFAULT)
            generator = Extractive(encoder, executor)
            read = partial(_from_passage, generator, encoder, executor)

            async def from_context(item: Item) -> Prediction:
                return await read(item.question, item.context)

            name = f"{generator.name}/{encoder.name}"
            yield Asked(name, "answers from the context as the only passage", from_context)
        return
    if settings.generator.startswith(TRANSFORMERS) and not completing:
        with ThreadPoolExecutor(1) as executor:
            yield await _by_likelihood(settings, executor)
        return
    async with _writing(settings, completing=completing) as asked:
        yield asked


async def _by_likelihood(settings: Settings, executor: Executor) -> Asked:
    from rag_service.generate.likelihood import Likelihoods
    from rag_service.generate.transformers_writer import parse_weights

    loop = asyncio.get_running_loop()
    weights = parse_weights(settings.generator.removeprefix(TRANSFORMERS))
    model = await loop.run_in_executor(
        executor, lambda: Likelihoods(*weights, settings.cache_dir / "models")
    )

    async def likeliest(item: Item) -> Prediction:
        letters = LETTERS[: len(item.choices)]
        found = await loop.run_in_executor(
            executor, model.log_likelihoods, item.prompt(), list(letters)
        )
        return Prediction(item.item_id, answer=letters[found.index(max(found))])

    return Asked(model.name, "the likelihood of the letters", likeliest)


@asynccontextmanager
async def _writing(settings: Settings, *, completing: bool) -> AsyncIterator[Asked]:
    writer = await asyncio.to_thread(open_writer, settings.generator, options(settings))
    assert writer is not None
    wording = Wording(max_tokens=COMPLETION_TOKENS) if completing else Wording()

    async def written(item: Item) -> Prediction:
        messages = [Message("user", item.prompt())]
        async with aclosing(writer.write(messages, wording)) as pieces:
            text = "".join([piece async for piece in pieces if not isinstance(piece, Cut)])
        return Prediction(item.item_id, answer=text)

    try:
        yield Asked(writer.name, "the text that it writes", written)
    finally:
        await writer.close()


@asynccontextmanager
async def scratch_search(
    settings: Settings, documents: Sequence[GrepDocument]
) -> AsyncIterator[tuple[str, Callable[[str, SearchMode], Awaitable[Ranking]]]]:
    """The embedder's name, and a search of these documents alone, in a database of its own that is
    gone afterwards."""
    encoder = bootstrap.embedder(settings, settings.embedder or DEFAULT)
    with (
        _scratch_store(encoder, documents) as conninfo,
        ThreadPoolExecutor(2) as executor,
    ):
        async with open_async_pool(conninfo, min_size=1, max_size=2) as pool:
            retriever = Retriever(encoder, PgRetriever(pool), executor)

            async def search(query: str, mode: SearchMode) -> Ranking:
                found = await retriever.retrieve(query, k=100, mode=mode, collection=SCRATCH)
                best: dict[str, float] = {}
                for one in found.passages:
                    best.setdefault(one.source, one.score)
                return list(best.items())

            yield encoder.name, search


@contextmanager
def _scratch_store(encoder: Embedder, documents: Sequence[GrepDocument]) -> Iterator[str]:
    with (
        TemporaryDirectory(prefix="promptly-") as folder,
        embedded_postgres(Path(folder) / "postgres") as conninfo,
    ):
        migrate(conninfo)
        with open_pool(conninfo, min_size=1, max_size=4) as pool:
            ingest = Ingest(PgStore(pool), encoder, bootstrap.splitter(encoder))
            ingest.run_found(
                (
                    from_text(
                        one.document_id, one.content.encode("utf-8", "replace"),
                        title=one.title, metadata={},
                    )
                    for one in documents
                ),
                collection=SCRATCH,
            )  # fmt: skip
        yield conninfo


async def _from_passage(
    generator: Generator, embedder: Embedder, executor: Executor, question: str, context: str
) -> Prediction:
    loop = asyncio.get_running_loop()
    near = (await loop.run_in_executor(executor, embedder.embed, [context]))[0]
    answerer = Answerer(
        Retriever(embedder, _OnePassage(context, near), executor), generator, release_id="passage"
    )
    answer = await answerer.answer(question, k=1)
    return Prediction("", answer.answer, answer.declined, error=answer.fallback)


class _OnePassage:
    """A store that finds the one passage it holds, whatever is asked."""

    def __init__(self, content: str, vector: NDArray[np.float32]) -> None:
        self._content, self._vector = content, vector

    async def search(
        self,
        *,
        text: str,
        vector: NDArray[np.float32] | None,
        k: int,
        mode: SearchMode,
        collection: str | None,
        filter: Mapping[str, Any] | None,
        embedder: str | None,
    ) -> SearchResult:
        assert vector is not None
        near = float(vector @ self._vector)
        passage = Passage(
            chunk_id=GIVEN, document_id=GIVEN, source="passage", title="", heading_path=(),
            content=self._content, metadata={}, start=0, score=near, dense_score=near,
        )  # fmt: skip
        return SearchResult((passage,), complete=True)


def key_of(head: Mapping[str, object]) -> str:
    """Names the folder of a run by all that decides it."""
    return hashlib.sha256(json.dumps(head, sort_keys=True).encode()).hexdigest()[:12]
