"""Builds what answers: the parts of a question, and of the HTTP API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import structlog

from model_pipeline.documents.found import from_bytes, from_text
from model_pipeline.domain import Caller
from model_pipeline.errors import PromptlyError
from model_pipeline.in_use import InUse
from model_pipeline.store.collections import PgCollections
from model_pipeline.store.connect import open_async_pool, open_pool
from model_pipeline.store.keys import KeyCheck
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.retrieval import PgRetriever
from model_pipeline.store.sources import PgSources
from promptly.accounts import token_access
from promptly.bootstrap import following_ingest, in_use
from promptly.generators import generators
from promptly.settings import Settings
from rag_service.answer import Answerer
from rag_service.answer_cache import CachedAnswerer, Remembering
from rag_service.api.services import (
    IngestReport,
    Limits,
    Services,
    Upload,
    without_accounts,
)
from rag_service.kept_answers import KeptAnswers
from rag_service.retrieve import Retriever

log = structlog.get_logger()
FOLLOW_EVERY_S = 3.0


@dataclass(frozen=True, slots=True)
class Answering:
    """What a question needs, from the embedder to the answer."""

    embedders: InUse
    retriever: Retriever
    answerer: Answerer | CachedAnswerer
    store: PgRetriever
    acting_for: Callable[[Caller | None], tuple[Retriever, Answerer | CachedAnswerer]]
    """For one request: they keep to the embedder that is in use when they are made."""
    key_check: KeyCheck
    executor: Executor
    """Where the embedders run."""


@asynccontextmanager
async def answering(
    settings: Settings, conninfo: str, documents: PgStore
) -> AsyncIterator[Answering]:
    embedders = in_use(settings, documents)
    kept = KeptAnswers()
    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="embed") as executor:
        async with (
            generators(settings, executor) as generator_for,
            open_async_pool(conninfo, min_size=1, max_size=settings.pool_size) as pool,
        ):

            def acting_for(
                caller: Caller | None,
            ) -> tuple[Retriever, Answerer | CachedAnswerer]:
                encoder = embedders.current
                store = PgRetriever(pool, caller)
                retriever = Retriever(encoder, store, executor, embedders.follow)
                generator = generator_for(encoder)
                release = f"{generator.name}/{encoder.name}"
                if not settings.cache:
                    return retriever, Answerer(retriever, generator, release_id=release)
                asked = Remembering(encoder)
                telling = PgRetriever(pool, caller, tell_scope=True)
                answerer = Answerer(
                    Retriever(asked, telling, executor, embedders.follow),
                    generator,
                    release_id=release,
                )
                return retriever, CachedAnswerer(
                    answerer, kept, telling, asked, executor,
                    release_id=release, threshold=settings.cache_threshold,
                )  # fmt: skip

            yield Answering(
                embedders,
                *acting_for(None),
                PgRetriever(pool),
                acting_for,
                KeyCheck(pool),
                executor,
            )


@asynccontextmanager
async def services(settings: Settings, conninfo: str) -> AsyncIterator[Services]:
    """Everything the HTTP API needs, open for as long as it serves."""
    with open_pool(conninfo, min_size=1, max_size=4) as pool:
        async with answering(settings, conninfo, PgStore(pool)) as parts:
            limits = Limits(
                upload_bytes=settings.upload_bytes,
                request_timeout_s=settings.request_timeout_s,
                allowed_hosts=settings.allowed_hosts,
            )
            authenticate = (
                token_access(settings, parts.key_check)
                if settings.has_accounts
                else without_accounts
            )

            def bound_to(caller: Caller | None) -> Services:
                documents = PgStore(pool, caller)
                retriever, answerer = parts.acting_for(caller)
                return Services(
                    retriever=retriever,
                    answerer=answerer,
                    documents=documents,
                    collections=PgCollections(pool, caller),
                    sources=PgSources(documents),
                    ingest=partial(_ingest_uploads, documents, parts.embedders),
                    embedder=lambda: parts.embedders.current,
                    executor=parts.executor,
                    ready=parts.store.ping,
                    limits=limits,
                    authenticate=authenticate,
                    anonymous=caller is not None and caller.role == "anon",
                    bound_to=bound_to,
                )

            following = asyncio.create_task(_follow_switches(parts.embedders))
            try:
                yield bound_to(None)
            finally:
                following.cancel()


async def _follow_switches(embedders: InUse) -> None:
    """Open the embedder that the store may be switched to before it is, so that no request waits
    for it to load."""
    told = ""
    while True:
        await asyncio.sleep(FOLLOW_EVERY_S)
        try:
            await asyncio.to_thread(embedders.prepare)
            told = ""
        except PromptlyError as error:
            if error.message != told:  # once, not every few seconds
                log.warning("embedder_not_opened", reason=error.message)
            told = error.message


def _ingest_uploads(
    documents: PgStore, embedders: InUse, uploads: Sequence[Upload], collection: str
) -> IngestReport:
    found = [
        from_text(one.name, one.content, title=one.title, metadata=one.metadata)
        if one.text
        else from_bytes(one.name, one.content)
        for one in uploads
    ]
    summary = following_ingest(documents, embedders).run_found(found, collection=collection)
    return IngestReport(summary.new, summary.changed, summary.unchanged, summary.failures)
