"""The API in this process, over a real database with people and keys."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from model_pipeline.embedding.onnx_embedder import OnnxEmbedder
from promptly import serving
from promptly.settings import Settings
from rag_service import outbox
from rag_service.api.app import create_app
from tests.promptly.people import METRICS_TOKEN, SECRET, Service, tokens
from tests.servers import jwks
from tests.servers.jwks import KeyServer


@pytest.fixture(scope="module")
def key_server() -> Iterator[KeyServer]:
    with jwks.running() as server:
        yield server


@pytest.fixture(scope="module")
def service(
    module_database: str,
    key_server: KeyServer,
    embedder: OnnxEmbedder,
    embedder_cache: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    home = tmp_path_factory.mktemp("home")
    (home / "cache").symlink_to(embedder_cache)
    settings = Settings(
        home=home, allowed_hosts=("testserver",), supabase_jwks_url=key_server.url,
        supabase_jwt_secret=SECRET, metrics_token=METRICS_TOKEN,
    )  # type: ignore[arg-type]  # fmt: skip
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def wait(asking: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(asking, loop).result(60)

    opened = serving.services(settings, module_database)
    app = create_app(wait(opened.__aenter__()))
    client = httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://testserver", timeout=30
    )
    found = tokens(key_server, module_database)
    made = Service(app, client, loop, found, module_database, embedder)
    made.reset()
    try:
        with pytest.MonkeyPatch.context() as patch:
            # Feedback waits for an answer that another process may be storing: here none is.
            patch.setattr(outbox, "ABSENT_S", 0.05)
            yield made
    finally:
        wait(client.aclose())
        wait(opened.__aexit__(None, None, None))
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
