"""Questions on their way to the embedder."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from rag_service.retrieve import Retriever
from tests.rag_service.conftest import FakeEmbedder, FakeStore


class Held(FakeEmbedder):
    """Embeds when it is let go; notes what."""

    def __init__(self) -> None:
        self.go, self.began = threading.Event(), threading.Event()
        self.embedded: list[str] = []

    def embed(self, texts: Sequence[str]) -> Any:
        self.embedded += texts
        self.began.set()
        self.go.wait(10)
        return super().embed(texts)


def test_what_nobody_waits_for_any_more_is_not_embedded() -> None:
    held = Held()

    async def ask(retriever: Retriever) -> None:
        first = asyncio.create_task(retriever.retrieve("first"))
        await asyncio.to_thread(held.began.wait, 5)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await retriever.retrieve("late")
        held.go.set()
        await first
        await retriever.retrieve("last")

    with ThreadPoolExecutor(1) as executor:
        asyncio.run(ask(Retriever(held, FakeStore(), executor)))
    assert held.embedded == ["first", "last"]
