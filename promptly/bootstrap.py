"""Builds every object once, from the settings. The only place that knows all the parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import structlog

from model_pipeline.documents.bucket import Storage
from model_pipeline.documents.split import Splitter
from model_pipeline.domain import Embedder
from model_pipeline.embedding.factory import DEFAULT, open_embedder, require_spec
from model_pipeline.errors import ConfigurationError
from model_pipeline.in_use import InUse
from model_pipeline.ingest import Ingest
from model_pipeline.store.connect import open_pool
from model_pipeline.store.doors import Door, PostgresDoor, SupabaseDoor
from model_pipeline.store.embedded import embedded_postgres
from model_pipeline.store.keys import PgKeys
from model_pipeline.store.migrations import migrate
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.queue import News, PgQueue
from model_pipeline.store.reports import FolderReports, Reports, SupabaseReports
from model_pipeline.store.supabase_api import open_client
from model_pipeline.worker import Worked, Worker
from promptly.settings import Settings

if TYPE_CHECKING:
    from supabase import Client

log = structlog.get_logger()


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
            yield following_ingest(documents, in_use(settings, documents))


def following_ingest(documents: PgStore, embedders: InUse) -> Ingest:
    def follow() -> tuple[Embedder, Splitter]:
        encoder = embedders.follow()
        return encoder, splitter(encoder)

    return Ingest(documents, embedders.current, splitter(embedders.current), follow)


@contextmanager
def working(settings: Settings, *, tell: Callable[[Worked], None]) -> Iterator[Worker]:
    with database(settings) as conninfo, open_pool(conninfo, min_size=1, max_size=6) as pool:
        documents = PgStore(pool)
        ingest = following_ingest(documents, in_use(settings, documents))
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
