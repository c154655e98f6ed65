"""The other end of a request: how much it sends, and whether it is still there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.types import Message, Receive

from model_pipeline.errors import TooLarge

# Most replies are sent by then, and cost no watching.
WATCHED_AFTER_S = 0.05


class Client:
    """Reads a body of at most `limit` bytes, by its announced length and as it comes; and stops the
    task that works for a client when it leaves without its answer."""

    def __init__(self, receive: Receive, headers: Mapping[bytes, bytes], limit: int) -> None:
        self.is_answered = False
        self._receive = receive
        self._limit = limit
        length = headers.get(b"content-length", b"0")
        self._announced = int(length) if length.isdigit() and len(length) < 20 else 0
        self._seen = 0
        self._has_sent_all = False
        self._left = False
        self._working: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watching: asyncio.Task[None] | None = None

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._seen += len(message.get("body", b""))
            if max(self._seen, self._announced) > self._limit:
                raise TooLarge(f"The body is over {self._limit:,} bytes: send less at once.")
            self._has_sent_all = not message.get("more_body", False)
        return message

    def stop_when_it_leaves(self) -> None:
        """Cancel the current task then. A reply that has begun is its own affair: whoever sends it
        notices."""
        self._working = asyncio.current_task()
        self._watch_later()

    def has_left(self) -> bool:
        """Whether that is why the task was cancelled, and nothing else is."""
        return self._left and self._working is not None and self._working.uncancel() == 0

    def forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()

    def _watch_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(WATCHED_AFTER_S, self._watch)

    def _watch(self) -> None:
        if self._has_sent_all:
            self._watching = asyncio.create_task(self._wait())
        else:  # the body is the application's to read
            self._watch_later()

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self.is_answered and self._working is not None:
            self._left = True
            self._working.cancel()
