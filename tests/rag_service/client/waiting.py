"""AsyncClient with the manners of Client, so that one test tries both."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

from rag_service.client import AsyncClient


class WaitingClient:
    """Runs each call to its end, in an event loop of its own."""

    def __init__(self, *args: Any, **more: Any) -> None:
        self._loop = asyncio.new_event_loop()
        try:
            self._client = AsyncClient(*args, **more)
        except BaseException:
            self._loop.close()
            raise

    def __enter__(self) -> WaitingClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run_until_complete(self._client.close())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def waiting(*args: Any, **more: Any) -> Any:
            found = method(*args, **more)
            if isinstance(found, AsyncClient):
                other = WaitingClient.__new__(WaitingClient)
                other._loop, other._client = self._loop, found
                return other
            if inspect.isasyncgen(found):
                return self._each(found)
            return self._loop.run_until_complete(found)

        return waiting

    def _each(self, found: AsyncIterator[Any]) -> Iterator[Any]:
        while True:
            try:
                yield self._loop.run_until_complete(anext(found))
            except StopAsyncIteration:
                return
