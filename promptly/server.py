"""Runs the HTTP API in this process: opens the database and the embedder, serves, closes them."""

from __future__ import annotations

import uvicorn
import uvloop

from promptly import bootstrap, serving
from promptly.settings import Settings


def serve(settings: Settings, *, host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM; requests under way are finished first."""
    settings.require_private(host, "PROMPTLY_API_HOST")
    with bootstrap.database(settings) as conninfo:
        uvloop.run(_serve(settings, conninfo, host=host, port=port))


async def _serve(settings: Settings, conninfo: str, *, host: str, port: int) -> None:
    async with serving.services(settings, conninfo) as services:
        from rag_service.api.app import create_app

        config = uvicorn.Config(
            create_app(services),
            host=host,
            port=port,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=5,
            http="httptools",
            ws="none",
        )
        await uvicorn.Server(config).serve()
