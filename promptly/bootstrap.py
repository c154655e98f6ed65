"""Builds every object once, from the settings. The only place that knows all the parts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from uuid import uuid4

from model_pipeline.documents.bucket import Storage
from model_pipeline.documents.found import from_bytes, from_text
from model_pipeline.documents.split import Splitter
from model_pipeline.domain import Caller, Embedder
from model_pipeline.embedding.factory import open_embedder
from model_pipeline.errors import ConfigurationError
from model_pipeline.ingest import Ingest
from model_pipeline.store.connect import open_async_pool, open_pool
from model_pipeline.store.embedded import embedded_postgres
from model_pipeline.store.migrations import migrate
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.queue import News, PgQueue
from model_pipeline.store.retrieval import PgRetriever
from model_pipeline.store.sources import PgSources
from model_pipeline.worker import Worked, Worker
from promptly.settings import Settings
from rag_service.answer import Answerer
from rag_service.api.services import (
    IngestReport,
    Limits,
    Services,
    Upload,
    without_accounts,
)
from rag_service.api.tokens import Keys, TokenAccess
from rag_service.generate.extractive import Extractive
from rag_service.retrieve import Retriever

# As HS256 asks (RFC 7518, 3.2).
SHORTEST_SECRET = 32


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """The connection string of the database; starts or joins the embedded one where no URL is set,
    and brings that one's schema up to date. A database given by URL is migrated only on request."""
    if settings.database_url:
        yield settings.database_url
        return
    with embedded_postgres(settings.database_dir) as conninfo:
        migrate(conninfo)
        yield conninfo


@contextmanager
def store(settings: Settings) -> Iterator[PgStore]:
    with database(settings) as conninfo, open_pool(conninfo, min_size=1, max_size=4) as pool:
        yield PgStore(pool)


def embedder(settings: Settings) -> Embedder:
    return open_embedder(settings.embedder, cache_dir=settings.cache_dir, threads=settings.threads)


def splitter(embedder: Embedder) -> Splitter:
    return Splitter(embedder.count_tokens, max_tokens=embedder.max_tokens)


@contextmanager
def ingesting(settings: Settings) -> Iterator[Ingest]:
    with store(settings) as documents:
        encoder = embedder(settings)
        yield Ingest(documents, encoder, splitter(encoder))


@contextmanager
def working(settings: Settings, *, tell: Callable[[Worked], None]) -> Iterator[Worker]:
    encoder = embedder(settings)
    with database(settings) as conninfo, open_pool(conninfo, min_size=1, max_size=6) as pool:
        documents = PgStore(pool)
        documents.register_embedder(encoder.name, encoder.dimensions)
        yield Worker(
            PgQueue(pool, documents, uuid4()),
            News(conninfo),
            Ingest(documents, encoder, splitter(encoder)),
            tell=tell,
            storage=_storage(settings),
        )


def _storage(settings: Settings) -> Storage | None:
    if not (settings.supabase_url and settings.supabase_key):
        return None
    return Storage(settings.supabase_url, settings.supabase_key.get_secret_value())


@dataclass(frozen=True, slots=True)
class Answering:
    """What a question needs, from the embedder to the answer."""

    embedder: Embedder
    retriever: Retriever
    answerer: Answerer
    store: PgRetriever
    acting_for: Callable[[Caller | None], tuple[Retriever, Answerer]]


@asynccontextmanager
async def answering(settings: Settings, conninfo: str) -> AsyncIterator[Answering]:
    if settings.generator != "extractive":
        raise ConfigurationError(
            f"PROMPTLY_GENERATOR is {settings.generator!r}, but this version has only 'extractive'."
        )
    encoder = embedder(settings)
    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="embed") as executor:
        async with open_async_pool(conninfo, min_size=1, max_size=settings.pool_size) as pool:
            generator = Extractive(encoder, executor)
            release = f"{generator.name}/{encoder.name}"

            def acting_for(caller: Caller | None) -> tuple[Retriever, Answerer]:
                retriever = Retriever(encoder, PgRetriever(pool, caller), executor)
                return retriever, Answerer(retriever, generator, release_id=release)

            yield Answering(encoder, *acting_for(None), PgRetriever(pool), acting_for)


@asynccontextmanager
async def services(settings: Settings, conninfo: str) -> AsyncIterator[Services]:
    """Everything the HTTP API needs, open for as long as it serves."""
    async with answering(settings, conninfo) as parts:
        with open_pool(conninfo, min_size=1, max_size=4) as pool:
            splits = splitter(parts.embedder)
            limits = Limits(
                upload_bytes=settings.upload_bytes,
                request_timeout_s=settings.request_timeout_s,
                allowed_hosts=settings.allowed_hosts,
            )
            authenticate = token_access(settings) if settings.has_accounts else without_accounts

            def bound_to(caller: Caller | None) -> Services:
                documents = PgStore(pool, caller)
                retriever, answerer = parts.acting_for(caller)
                return Services(
                    retriever=retriever,
                    answerer=answerer,
                    documents=documents,
                    sources=PgSources(documents),
                    ingest=partial(_ingest_uploads, Ingest(documents, parts.embedder, splits)),
                    ready=parts.store.ping,
                    limits=limits,
                    authenticate=authenticate,
                    bound_to=bound_to,
                )

            yield bound_to(None)


def token_access(settings: Settings) -> TokenAccess:
    """Raises ConfigurationError where accounts are wanted and no token could be checked."""
    base = settings.supabase_url.rstrip("/") + "/auth/v1" if settings.supabase_url else None
    keys = settings.supabase_jwks_url or (base and f"{base}/.well-known/jwks.json")
    secret = settings.supabase_jwt_secret
    if not (secret or keys):
        raise ConfigurationError(
            "PROMPTLY_ACCOUNTS is set, but nothing that tokens could be checked with: set "
            "SUPABASE_URL, SUPABASE_JWKS_URL or SUPABASE_JWT_SECRET."
        )
    if secret and len(secret.get_secret_value().encode()) < SHORTEST_SECRET:
        raise ConfigurationError(
            f"SUPABASE_JWT_SECRET has under {SHORTEST_SECRET} bytes, which can be guessed: set the "
            "project's own."
        )
    return TokenAccess(
        secret=secret.get_secret_value() if secret else None,
        keys=Keys(keys) if keys else None,
        issuer=base,
    )


def _ingest_uploads(ingest: Ingest, uploads: Sequence[Upload], collection: str) -> IngestReport:
    found = [
        from_text(one.name, one.content, title=one.title, metadata=one.metadata)
        if one.text
        else from_bytes(one.name, one.content)
        for one in uploads
    ]
    summary = ingest.run_found(found, collection=collection)
    return IngestReport(summary.new, summary.changed, summary.unchanged, summary.failures)
