"""Builds what answers: the parts of a question, and of the HTTP API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial

import structlog

from model_pipeline.documents.found import from_bytes, from_text
from model_pipeline.domain import Caller, Embedder
from model_pipeline.errors import PromptlyError
from model_pipeline.in_use import InUse
from model_pipeline.store.collections import PgCollections
from model_pipeline.store.connect import (
    ONLINE_POOL_TIMEOUT_S,
    STATEMENT_TIMEOUT_S,
    open_async_pool,
    open_pool,
)
from model_pipeline.store.history import PgHistory
from model_pipeline.store.intake import PgIntake
from model_pipeline.store.keys import KeyCheck
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.retrieval import PgRetriever
from model_pipeline.store.sources import PgSources
from model_pipeline.store.verdicts import PgReviews
from promptly.accounts import token_access
from promptly.bootstrap import following_ingest, in_use
from promptly.generators import generators
from promptly.settings import Settings
from promptly.watching import watching
from rag_service.answer import Answerer
from rag_service.answer_cache import CachedAnswerer
from rag_service.api.limits import Drain, Limits
from rag_service.api.metrics import Metrics
from rag_service.api.services import (
    IngestReport,
    MetricsAccess,
    Services,
    Upload,
    without_accounts,
)
from rag_service.embed import Remembering
from rag_service.keep import Keeper
from rag_service.kept_answers import KeptAnswers
from rag_service.outbox import Outbox
from rag_service.retrieve import Retriever

log = structlog.get_logger()
FOLLOW_EVERY_S = 3.0
SAMPLE_EVERY_S = 5.0
STATES = ("waiting", "running", "dead")
DEFAULT_RATE_PER_MINUTE = 600
DEFAULT_CONCURRENCY_PER_CALLER = 20


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
    release_id: Callable[[], str]
    pool_stats: Callable[[], dict[str, int]]


@asynccontextmanager
async def answering(
    settings: Settings, conninfo: str, documents: PgStore, metrics: Metrics | None = None
) -> AsyncIterator[Answering]:
    metrics = metrics or Metrics()  # that nobody reads
    embedders = in_use(settings, documents)
    kept = KeptAnswers()
    with (
        ThreadPoolExecutor(max_workers=2, thread_name_prefix="embed") as executor,
        # Apart, or the embedding of a question would queue behind whole answers; and one thread,
        # since they are mostly Python: two would take turns, and the event loop with both.
        ThreadPoolExecutor(max_workers=1, thread_name_prefix="answer") as answers,
        watching(settings) as watched,
    ):
        async with (
            generators(settings, answers, metrics.spent) as writing,
            open_async_pool(
                conninfo, min_size=1, max_size=settings.pool_size, **online(settings)
            ) as pool,
        ):

            def release_id(encoder: Embedder) -> str:
                return writing.release_id(encoder) + watched.name

            def acting_for(
                caller: Caller | None,
            ) -> tuple[Retriever, Answerer | CachedAnswerer]:
                encoder = embedders.current
                store = PgRetriever(pool, caller)
                retriever = Retriever(encoder, store, executor, embedders.follow)
                asked = Remembering(encoder)
                release = release_id(encoder)
                telling = PgRetriever(pool, caller, tell_scope=settings.cache)
                answerer = Answerer(
                    Retriever(asked, telling, executor, embedders.follow),
                    writing.generator_for(asked),
                    release_id=release,
                    condense=writing.condense,
                    policy=watched.policy,
                )
                if not settings.cache:
                    return retriever, answerer
                return retriever, CachedAnswerer(
                    answerer, kept, telling, asked, executor,
                    release_id=release, threshold=settings.cache_threshold,
                    asker=caller and (caller.role, caller.claims.get("sub")),
                    told=metrics.looked_up,
                )  # fmt: skip

            yield Answering(
                embedders,
                *acting_for(None),
                PgRetriever(pool),
                acting_for,
                KeyCheck(pool),
                executor,
                lambda: release_id(embedders.current),
                pool.get_stats,
            )


@asynccontextmanager
async def services(
    settings: Settings, conninfo: str, drain: Drain | None = None
) -> AsyncIterator[Services]:
    """Everything the HTTP API needs, open for as long as it serves. `drain` is begun by whoever
    stops it."""
    with (
        open_pool(conninfo, min_size=1, max_size=4, **online(settings)) as pool,
        open_outbox(settings, conninfo) as outbox,
    ):
        metrics = Metrics()
        async with answering(settings, conninfo, PgStore(pool), metrics) as parts:
            limits, metrics_access = _limits(settings), _metrics_access(settings)
            drained = drain or Drain()
            metrics.watch_pool("search", parts.pool_stats)
            metrics.watch_pool("store", pool.get_stats)
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
                    history=PgHistory(pool, caller),
                    reviews=PgReviews(pool, caller),
                    keeper=Keeper(outbox, caller),
                    ready=parts.store.ping,
                    limits=limits,
                    authenticate=authenticate,
                    anonymous=caller is not None and caller.role == "anon",
                    metrics=metrics,
                    metrics_access=metrics_access,
                    drain=drained,
                    bound_to=bound_to,
                )

            beside = [_follow_switches(parts.embedders), metrics.watch_event_loop()]
            if metrics_access != MetricsAccess():
                beside.append(_sample(metrics, parts, PgSources(PgStore(pool))))
            tasks = [asyncio.create_task(one) for one in beside]
            try:
                yield bound_to(None)
            finally:
                for task in tasks:
                    task.cancel()


def online(settings: Settings) -> dict[str, float]:
    """For the pools of a service that people wait for: a statement has no longer than a request,
    so that it ends at the database too, whatever becomes of this process."""
    timeout_s = min(float(STATEMENT_TIMEOUT_S), settings.request_timeout_s)
    return {"timeout_s": ONLINE_POOL_TIMEOUT_S, "statement_timeout_s": timeout_s}


def _limits(settings: Settings) -> Limits:
    rate, at_once = settings.rate_per_minute, settings.concurrency_per_caller
    if settings.has_accounts:
        rate = DEFAULT_RATE_PER_MINUTE if rate is None else rate
        at_once = DEFAULT_CONCURRENCY_PER_CALLER if at_once is None else at_once
    elsewhere = settings.generator.startswith("openai")
    return Limits(
        upload_bytes=settings.upload_bytes,
        request_timeout_s=settings.request_timeout_s,
        allowed_hosts=settings.allowed_hosts,
        concurrency=settings.concurrency,
        searches_at_once=settings.pool_size,
        answers_at_once=settings.answers_at_once or (64 if elsewhere else 8),
        rate_per_minute=rate or None,
        concurrency_per_caller=at_once or None,
    )


def _metrics_access(settings: Settings) -> MetricsAccess:
    token = settings.metrics_token
    return MetricsAccess(
        token=token.get_secret_value() if token else None, everybody=not settings.has_accounts
    )


async def _sample(metrics: Metrics, parts: Answering, sources: PgSources) -> None:
    """What a scrape should not have to ask the database for."""
    while True:
        metrics.released(parts.release_id())
        with suppress(PromptlyError):  # the database is away: the next sample tells
            found = await asyncio.to_thread(sources.job_counts, collection=None)
            metrics.jobs({state: sum(getattr(one, state) for one in found) for state in STATES})
        await asyncio.sleep(SAMPLE_EVERY_S)


@contextmanager
def open_outbox(settings: Settings, conninfo: str) -> Iterator[Outbox]:
    with (
        closing(PgIntake(conninfo)) as intake,
        closing(Outbox(settings.outbox_dir, intake.take)) as it,
    ):
        yield it


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
