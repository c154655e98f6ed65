"""Runs the HTTP API in this process: opens the database and the embedder, serves, closes them."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import structlog
import uvicorn
import uvloop

from promptly import bootstrap, logs, serving
from promptly.settings import Settings
from promptly.traces import tracing
from rag_service.api.limits import Drain

# A thread that computes lets the event loop go on after that long, where 5 ms is Python's own: at
# each of some ten steps of a request the loop may find one at work.
SWITCH_S = 0.001
log = structlog.get_logger()


def serve(settings: Settings, *, host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM; requests under way are finished first."""
    settings.require_private(host, "PROMPTLY_API_HOST")
    logs.configure(settings.log_level)
    with tracing(settings.otlp_endpoint), bootstrap.database(settings) as conninfo:
        uvloop.run(_serve(settings, conninfo, host=host, port=port))


async def _serve(settings: Settings, conninfo: str, *, host: str, port: int) -> None:
    asyncio.get_running_loop().set_exception_handler(logs.event_loop_failed)
    drain = Drain()
    async with serving.services(settings, conninfo, drain) as services:
        from rag_service.api.app import create_app

        config = uvicorn.Config(
            create_app(services),
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=list(settings.trusted_proxies),
            timeout_graceful_shutdown=settings.drain_s,  # type: ignore[arg-type]  # any number
            http="httptools",
            ws="none",
        )
        stay_prompt()
        await Draining(config, drain, notice_s=settings.drain_notice_s).serve()


def stay_prompt() -> None:
    """For the whole process, once all is loaded: a thread at work holds the event loop up less, and
    a full garbage collection does not walk the hundred thousand objects that stay, which takes
    some ten milliseconds each time, with all requests waiting."""
    sys.setswitchinterval(SWITCH_S)
    gc.collect()
    gc.freeze()


class Draining(uvicorn.Server):
    """Stops in three steps: /readyz says so, for `notice_s`, and all is still answered; then nobody
    more is let in, and what is under way may finish; then that is cancelled."""

    def __init__(self, config: uvicorn.Config, drain: Drain, *, notice_s: float) -> None:
        super().__init__(config)
        self._drain = drain
        self._notice_s = notice_s

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._drain.begun or not self._notice_s:  # asked twice, or nobody to be told
            self._drain.begun = True
            super().handle_exit(sig, frame)
            return
        self._drain.begun = True
        log.info("draining", notice_s=self._notice_s)
        loop = asyncio.get_running_loop()
        loop.call_soon_threadsafe(loop.call_later, self._notice_s, super().handle_exit, sig, None)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Without raising the signal anew at the end: what was opened is closed first."""
        with super().capture_signals():
            try:
                yield
            finally:
                self._captured_signals.clear()
