"""Builds every object once, from the settings. The only place that knows all the parts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4

import jwt
import structlog

from model_pipeline.documents.bucket import Storage
from model_pipeline.documents.found import from_bytes, from_text
from model_pipeline.documents.split import Splitter
from model_pipeline.domain import Caller, Embedder
from model_pipeline.embedding.factory import DEFAULT, open_embedder, require_spec
from model_pipeline.errors import ConfigurationError, PromptlyError
from model_pipeline.in_use import InUse
from model_pipeline.ingest import Ingest
from model_pipeline.store.collections import PgCollections
from model_pipeline.store.connect import open_async_pool, open_pool
from model_pipeline.store.doors import Door, PostgresDoor, SupabaseDoor
from model_pipeline.store.embedded import embedded_postgres
from model_pipeline.store.keys import KeyCheck, PgKeys
from model_pipeline.store.migrations import migrate
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.queue import News, PgQueue
from model_pipeline.store.reports import FolderReports, Reports, SupabaseReports
from model_pipeline.store.retrieval import PgRetriever
from model_pipeline.store.sources import PgSources
from model_pipeline.store.supabase_api import open_client
from model_pipeline.worker import Worked, Worker
from promptly.settings import LOOPBACK, Settings
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

if TYPE_CHECKING:
    from supabase import Client

log = structlog.get_logger()
FOLLOW_EVERY_S = 3.0
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
    with database(settings) as conninfo, open_store(conninfo) as documents:
        yield documents


@contextmanager
def open_store(conninfo: str) -> Iterator[PgStore]:
    with open_pool(conninfo, min_size=1, max_size=4) as pool:
        yield PgStore(pool)


@contextmanager
def keys(settings: Settings) -> Iterator[PgKeys]:
    with database(settings) as conninfo, open_pool(conninfo, min_size=1, max_size=1) as pool:
        yield PgKeys(pool)


@contextmanager
def door(settings: Settings, *, https: bool) -> Iterator[Door]:
    """To the stored rows: the database, or with `https` Supabase's API."""
    if https:
        with supabase_client(settings) as client:
            yield SupabaseDoor(client)
        return
    with database(settings) as conninfo, open_pool(conninfo, min_size=1, max_size=1) as pool:
        yield PostgresDoor(pool)


@contextmanager
def supabase_client(settings: Settings) -> Iterator[Client]:
    """With the secret key where it is set. Raises ConfigurationError where the project's address or
    any key is not."""
    key, token = _api_key(settings), settings.supabase_user_token
    if not (settings.supabase_url and key):
        raise ConfigurationError(
            "Supabase's API needs SUPABASE_URL, and SUPABASE_SECRET_KEY or SUPABASE_KEY: set them, "
            "from the project's settings."
        )
    with open_client(
        settings.supabase_url, key, token.get_secret_value() if token else None
    ) as client:
        yield client


@contextmanager
def reports(settings: Settings) -> Iterator[Reports]:
    """Where reports are put: the project's Storage where its secret key is set, else a folder."""
    if settings.supabase_url and settings.supabase_secret_key:
        with supabase_client(settings) as client:
            yield SupabaseReports(client)
    else:
        yield FolderReports(settings.reports_dir)


def embedder(settings: Settings, spec: str) -> Embedder:
    return open_embedder(spec, cache_dir=settings.cache_dir, threads=settings.threads)


def in_use(settings: Settings, documents: PgStore) -> InUse:
    """The store's embedder, as it changes; the one that is set, for a store without."""
    otherwise = settings.embedder or DEFAULT
    require_spec(otherwise)
    embedders = InUse(documents.embedders, partial(embedder, settings), otherwise=otherwise)
    if settings.embedder not in (None, embedders.current.spec):
        log.warning(
            "PROMPTLY_EMBEDDER_not_used", set=settings.embedder, in_use=embedders.current.spec
        )
    return embedders


def splitter(embedder: Embedder) -> Splitter:
    return Splitter(embedder.count_tokens, max_tokens=embedder.max_tokens)


@contextmanager
def ingesting(settings: Settings) -> Iterator[Ingest]:
    """With the embedder that is set, or else whichever the store has, also after a switch."""
    with store(settings) as documents:
        if settings.embedder:
            encoder = embedder(settings, settings.embedder)
            yield Ingest(documents, encoder, splitter(encoder))
        else:
            yield _ingest(documents, in_use(settings, documents))


def _ingest(documents: PgStore, embedders: InUse) -> Ingest:
    def follow() -> tuple[Embedder, Splitter]:
        encoder = embedders.follow()
        return encoder, splitter(encoder)

    return Ingest(documents, embedders.current, splitter(embedders.current), follow)


@contextmanager
def working(settings: Settings, *, tell: Callable[[Worked], None]) -> Iterator[Worker]:
    with database(settings) as conninfo, open_pool(conninfo, min_size=1, max_size=6) as pool:
        documents = PgStore(pool)
        ingest = _ingest(documents, in_use(settings, documents))
        ingest.register()
        yield Worker(
            PgQueue(pool, documents, uuid4()),
            News(conninfo),
            ingest,
            tell=tell,
            storage=_storage(settings),
        )


def _storage(settings: Settings) -> Storage | None:
    key = _api_key(settings)
    return Storage(settings.supabase_url, key) if settings.supabase_url and key else None


def _api_key(settings: Settings) -> str | None:
    """The secret key where it is set."""
    secret = settings.supabase_secret_key
    return secret.get_secret_value() if secret else settings.supabase_key


@dataclass(frozen=True, slots=True)
class Answering:
    """What a question needs, from the embedder to the answer."""

    embedders: InUse
    retriever: Retriever
    answerer: Answerer
    store: PgRetriever
    acting_for: Callable[[Caller | None], tuple[Retriever, Answerer]]
    """For one request: they keep to the embedder that is in use when they are made."""
    key_check: KeyCheck


@asynccontextmanager
async def answering(
    settings: Settings, conninfo: str, documents: PgStore
) -> AsyncIterator[Answering]:
    if settings.generator != "extractive":
        raise ConfigurationError(
            f"PROMPTLY_GENERATOR is {settings.generator!r}, but this version has only 'extractive'."
        )
    embedders = in_use(settings, documents)
    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="embed") as executor:
        async with open_async_pool(conninfo, min_size=1, max_size=settings.pool_size) as pool:

            def acting_for(caller: Caller | None) -> tuple[Retriever, Answerer]:
                encoder = embedders.current
                store = PgRetriever(pool, caller)
                retriever = Retriever(encoder, store, executor, embedders.follow)
                generator = Extractive(encoder, executor)
                release = f"{generator.name}/{encoder.name}"
                return retriever, Answerer(retriever, generator, release_id=release)

            yield Answering(
                embedders, *acting_for(None), PgRetriever(pool), acting_for, KeyCheck(pool)
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
                    ready=parts.store.ping,
                    limits=limits,
                    authenticate=authenticate,
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


def token_access(settings: Settings, key_check: Callable[[str], Awaitable[Caller]]) -> TokenAccess:
    """Without anything that Supabase's tokens could be checked with, service keys alone are taken.
    Raises ConfigurationError for a secret that could be guessed."""
    base = settings.supabase_url.rstrip("/") + "/auth/v1" if settings.supabase_url else None
    keys = settings.supabase_jwks_url or (base and f"{base}/.well-known/jwks.json")
    secret = settings.supabase_jwt_secret
    if secret and len(secret.get_secret_value().encode()) < SHORTEST_SECRET:
        raise ConfigurationError(
            f"SUPABASE_JWT_SECRET has under {SHORTEST_SECRET} bytes, which can be guessed: set the "
            "project's own."
        )
    return TokenAccess(
        secret=secret.get_secret_value() if secret else None,
        keys=Keys(keys) if keys else None,
        issuer=base,
        service_keys=key_check,
    )


def sign_in(settings: Settings) -> tuple[str, str] | None:
    """Where the UI has people sign in: the project's address and its publishable key.

    Raises ConfigurationError for a key that must not leave the server, and for an address to which
    passwords would go in the clear.
    """
    url, key = settings.supabase_url, settings.supabase_key
    if not (settings.has_accounts and url and key):
        return None
    if key.startswith("sb_secret_") or _role(key) == "service_role":
        raise ConfigurationError(
            "SUPABASE_KEY is a secret key, and the UI needs the project's publishable (anon) key "
            "to let people sign in: set that, or unset it."
        )
    address = urlsplit(url)
    if not address.hostname or (address.scheme != "https" and address.hostname not in LOOPBACK):
        raise ConfigurationError(
            f"SUPABASE_URL is {url!r}, and passwords would go there unencrypted: give its https "
            "address."
        )
    return url, key


def _role(key: str) -> object:
    """What a key of the older kind, a JWT, says it is for."""
    try:
        return jwt.decode(key, options={"verify_signature": False}).get("role")
    except jwt.PyJWTError:
        return None


def _ingest_uploads(
    documents: PgStore, embedders: InUse, uploads: Sequence[Upload], collection: str
) -> IngestReport:
    found = [
        from_text(one.name, one.content, title=one.title, metadata=one.metadata)
        if one.text
        else from_bytes(one.name, one.content)
        for one in uploads
    ]
    summary = _ingest(documents, embedders).run_found(found, collection=collection)
    return IngestReport(summary.new, summary.changed, summary.unchanged, summary.failures)
