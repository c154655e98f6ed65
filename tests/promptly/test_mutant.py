"""Several users in the middle of their answers while the API is told to end."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psycopg

from tests.promptly.served import Served, served
from tests.servers import openai_compatible
from tests.servers.openai_compatible import Endpoint

USERS = 8
TEXT = "# Shop\n\nThe lamp costs four euros in the shop. It is sold on Mondays.\n"


class Held:
    """Writes a sentence and a half, and the rest when it is let go on."""

    def __init__(self) -> None:
        self.go = threading.Event()

    async def write(self, messages: Any) -> AsyncIterator[str]:
        yield "The lamp costs four euros in the shop. It is"
        while not self.go.is_set():  # noqa: ASYNC110 - set by another thread
            await asyncio.sleep(0.01)
        yield " sold on Mondays."


def read(api: Served, number: int, begun: threading.Semaphore) -> str:
    """All of a stream; `begun` is released when its first words are there."""
    body = {"question": f"What does lamp {number} cost in the shop?", "stream": True}
    url, text, told = f"{api.address}/v1/answers", "", False
    with (
        httpx.Client(trust_env=False, timeout=60) as client,
        client.stream("POST", url, json=body) as reply,
    ):
        for piece in reply.iter_text():
            text += piece
            if "event: delta" in text and not told:
                told = True
                begun.release()
    return text


def test_streams_under_way_are_finished_mut(
    module_database: str, embedder: Any, embedder_cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "cache").symlink_to(embedder_cache)
    held, begun = Held(), threading.Semaphore(0)
    with openai_compatible.running(Endpoint(held)) as endpoint:  # type: ignore[arg-type]
        settings = {
            "PROMPTLY_GENERATOR": endpoint.spec, "PROMPTLY_OPENAI_API_KEY": "any",
            "PROMPTLY_GENERATOR_TIMEOUT_S": 30, "PROMPTLY_DRAIN_S": 0.1,
        }  # fmt: skip
        with (
            served(module_database, tmp_path, **settings) as api,
            ThreadPoolExecutor(USERS) as users,
        ):
            put = {"text": TEXT, "source": "shop.md"}
            assert httpx.post(f"{api.address}/v1/documents", json=put, timeout=60).is_success
            reading = [users.submit(read, api, number, begun) for number in range(USERS)]
            try:
                for _ in range(USERS):
                    assert begun.acquire(timeout=30)
                api.process.send_signal(signal.SIGTERM)
                import time; t0=time.time(); print("SIGTERM", flush=True); print(api.process.wait(40), time.time()-t0, flush=True)

            finally:
                held.go.set()
            texts = [one.result(30) for one in reading]
            assert api.process.wait(30) == 0
    for text in texts:
        assert text.count("event: done") == 1 and "event: error" not in text
        assert "sold on Mondays" in text[: text.index("event: done")]
    with psycopg.connect(module_database) as connection:
        kept = connection.execute("select count(distinct question) from answers").fetchone()
    assert kept == (USERS,)


def is_refused(api: Served) -> bool:
    try:
        return api.get("/healthz").status_code == 503
    except httpx.TransportError:
        return True
