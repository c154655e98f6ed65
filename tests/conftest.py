"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
import pytest
import structlog
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bias.local.judge import LocalJudge
from model_pipeline.embedding.onnx_embedder import OnnxEmbedder, open_onnx_embedder
from model_pipeline.store.embedded import embedded_postgres
from model_pipeline.store.migrations import migrate
from promptly.cli import output
from tests.models import make_model
from tests.servers import pgbouncer as pgbouncer_server
from tests.servers import supabase_lite
from tests.servers.supabase_lite import SupabaseServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser

for console in (output.out, output.err):
    console.width = 400  # what commands print in this process is not broken into lines
REPO = Path(__file__).resolve().parents[1]
# The Hub's client reads it when it is imported: tests/servers/hub_server.py has LFS alone.
os.environ["HF_HUB_DISABLE_XET"] = "1"


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Commands that run in this process set it up for a process that ends with them."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture(autouse=True)
def main_as_it_was() -> Iterator[None]:
    """Streamlit's tests put a page in its place, which each new process would begin with."""
    before = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = before


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The public data sets kept beside the project; tests that need them skip without them."""
    folder = Path(os.environ.get("PROMPTLY_SHARED_DATA", REPO.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the public data sets are not at {folder} (set PROMPTLY_SHARED_DATA)")
    return folder


@pytest.fixture(scope="session")
def embedder_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With all that the default embedder and the local judge keep in it, made once."""
    folder = tmp_path_factory.mktemp("cache")
    open_onnx_embedder(cache_dir=folder, threads=2)
    LocalJudge(cache_dir=folder, threads=2)
    return folder


@pytest.fixture(scope="session")
def embedder(embedder_cache: Path) -> OnnxEmbedder:
    """The default embedder."""
    return open_onnx_embedder(cache_dir=embedder_cache, threads=2)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Specs of models that can be made here: two of 384 dimensions, one of 32."""
    folder = tmp_path_factory.mktemp("models")
    kinds = {"old": 384, "alike": 384, "narrow": 32}
    return {
        name: make_model(folder / name, dimensions=dimensions, seed=seed)
        for seed, (name, dimensions) in enumerate(kinds.items())
    }


NewDatabase = Callable[[], AbstractContextManager[str]]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The one embedded server of a run."""
    with embedded_postgres(tmp_path_factory.mktemp("server") / "postgres") as conninfo:
        yield conninfo


@pytest.fixture(scope="session")
def new_database(server: str) -> NewDatabase:
    """Makes migrated, empty databases, about 50 ms each."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("create database migrated")
    migrate(make_conninfo(server, dbname="migrated"))

    @contextmanager
    def make() -> Iterator[str]:
        name = f"test_{uuid4().hex}"
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(
                sql.SQL("create database {} template migrated").format(sql.Identifier(name))
            )
        try:
            yield make_conninfo(server, dbname=name)
        finally:
            with psycopg.connect(server, autocommit=True) as connection:
                connection.execute(
                    sql.SQL("drop database {} with (force)").format(sql.Identifier(name))
                )

    return make


@pytest.fixture
def database(new_database: NewDatabase) -> Iterator[str]:
    """The connection string of a fresh, migrated database."""
    with new_database() as conninfo:
        yield conninfo


@pytest.fixture(scope="module")
def module_database(new_database: NewDatabase) -> Iterator[str]:
    """The same, shared by the tests of one file."""
    with new_database() as conninfo:
        yield conninfo


ThroughPooler = Callable[[str], str]


@pytest.fixture(scope="session")
def pgbouncer(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThroughPooler]:
    """Turns a database's connection string into the one through a transaction pooler, marked as
    such; skips where there is no PgBouncer."""
    if pgbouncer_server.program() is None:
        pytest.skip("PgBouncer is not installed: `make unit` installs it where it can")
    with pgbouncer_server.running(server, tmp_path_factory.mktemp("pgbouncer")) as port:

        def through(conninfo: str) -> str:
            name = conninfo_to_dict(conninfo)["dbname"]
            return f"postgresql://postgres@127.0.0.1:{port}/{name}?pgbouncer=true"

        yield through


@pytest.fixture(scope="session")
def supabase_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SupabaseServer]:
    """Supabase's HTTP API over a migrated database of its own; skips where it is not installed."""
    if reason := supabase_lite.missing():
        pytest.skip(f"{reason}: sh tests/servers/install-node.sh supabase")
    folder = tmp_path_factory.mktemp("supabase")
    with (
        embedded_postgres(folder / "postgres") as conninfo,
        supabase_lite.running(conninfo, folder) as started,
    ):
        yield started


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A real browser; while it is there, its event loop keeps asyncio.run() from other tests."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("no Chromium on the PATH: `make unit` installs one where it can")
    from playwright.sync_api import sync_playwright

    arguments = [
        "--no-sandbox",
        "--headless",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()
