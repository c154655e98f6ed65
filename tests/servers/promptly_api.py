"""The whole service behind a real server, in a thread of this process."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from promptly import serving
from promptly.settings import Settings
from rag_service.api.app import create_app


@contextmanager
def running(settings: Settings, conninfo: str) -> Iterator[str]:
    """Gives its address."""
    server: list[uvicorn.Server] = []

    async def serve() -> None:
        async with serving.services(settings, conninfo) as services:
            config = uvicorn.Config(
                create_app(services), port=0, log_level="critical", lifespan="off", ws="none"
            )
            server.append(uvicorn.Server(config))
            await server[0].serve()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    while not server or not server[0].started:
        assert thread.is_alive(), "the service did not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server[0].servers[0].sockets[0].getsockname()[1]}"
    finally:
        server[0].should_exit = True
        thread.join()
