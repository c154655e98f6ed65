"""Another embedder while searches and ingests go on: every answer is wholly one model's."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from model_pipeline.domain import Chunk, Embedder, SearchMode, SearchResult
from model_pipeline.embedding.factory import DEFAULT, open_embedder
from model_pipeline.in_use import InUse
from model_pipeline.reembed import Reembed, back
from model_pipeline.store.connect import open_async_pool, open_pool
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.retrieval import PgRetriever
from promptly import serving
from promptly.settings import Settings
from rag_service.api.app import create_app
from rag_service.retrieve import Retriever
from tests.models import ROUNDING, TITLE, ingesting, open_tiny, put, rows, texts

QUESTIONS = ("red tent", "old rope and lantern", "stove kettle boots jacket", "compass", "blue")
MODES: tuple[SearchMode, ...] = ("dense", "hybrid")

K = 10


def embedded(content: str) -> str:
    return Chunk(0, 0, 0, content).text_to_embed(TITLE)


class Slow:
    """The model, as slow as a large one is."""

    def __init__(self, embedder: Embedder) -> None:
        self.name, self.spec, self.dimensions = embedder.name, embedder.spec, embedder.dimensions
        self.max_tokens, self.count_tokens = embedder.max_tokens, embedder.count_tokens
        self._embedder = embedder

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        time.sleep(0.3)
        return self._embedder.embed(texts)


class Judge:
    """Knows what each model says of each text."""

    def __init__(self, models: Sequence[Embedder], steady: Sequence[str]) -> None:
        self._models = models
        known = [*QUESTIONS, *map(embedded, steady)]
        self._vectors = [dict(zip(known, model.embed(known), strict=True)) for model in models]

    def score(self, model: int, question: str, content: str) -> float:
        known, text = self._vectors[model], embedded(content)
        if text not in known:
            known[text] = self._models[model].embed([text])[0]
        return float(known[question] @ known[text])

    def best(self, model: int, question: str, contents: Sequence[str], k: int) -> float:
        """The k-th best score."""
        return sorted((self.score(model, question, one) for one in contents), reverse=True)[k - 1]

    def whose(self, question: str, result: SearchResult) -> int:
        """The one model that all scores are of."""
        scored = [one for one in result.passages if one.dense_score is not None]
        assert scored
        fits = [
            model
            for model in range(len(self._models))
            if all(
                abs(self.score(model, question, one.content) - float(one.dense_score or 0))
                < ROUNDING
                for one in scored
            )
        ]
        assert len(fits) == 1, (question, fits, scored)
        return fits[0]


async def search(
    database: str, in_use: InUse, ask: Callable[[Retriever], Any], *, times: int = 1
) -> None:
    with ThreadPoolExecutor(2) as executor:
        async with open_async_pool(database, min_size=1, max_size=2) as pool:
            retriever = Retriever(in_use.current, PgRetriever(pool), executor, in_use.follow)
            for _ in range(times):
                await ask(retriever)


class Searching(threading.Thread):
    """Asks all the while, and notes whose every answer was."""

    def __init__(self, database: str, judge: Judge, steady: Sequence[str]) -> None:
        super().__init__()
        self._database, self._judge, self._steady = database, judge, steady
        self.stop = threading.Event()
        self.failure: BaseException | None = None
        self.whose: list[int] = []
        self.slowest_s = 0.0

    def run(self) -> None:
        try:
            with open_pool(self._database, min_size=1, max_size=1) as pool:
                in_use = InUse(PgStore(pool).embedders, open_tiny, otherwise="")
                in_use.prepare()
                asyncio.run(search(self._database, in_use, self._ask))
        except BaseException as failure:
            self.failure = failure

    def until(self, answers: int) -> None:
        while len(self.whose) < answers and self.is_alive():
            time.sleep(0.01)

    async def _ask(self, retriever: Retriever) -> None:
        for question, mode, collection in itertools.cycle(
            itertools.product(QUESTIONS, MODES, ("steady", None))
        ):
            if self.stop.is_set():
                return
            started = time.perf_counter()
            result = await retriever.retrieve(question, k=K, mode=mode, collection=collection)
            self.slowest_s = max(self.slowest_s, time.perf_counter() - started)
            assert len(result.passages) == K and result.complete
            whose = self._judge.whose(question, result)
            self.whose.append(whose)
            if collection and mode == "dense":
                least = self._judge.best(whose, question, self._steady, K) - ROUNDING
                assert all((one.dense_score or 0) >= least for one in result.passages)


class Writing(threading.Thread):
    """Adds, edits and deletes documents all the while, following the store."""

    def __init__(self, database: str) -> None:
        super().__init__()
        self._database = database
        self.stop = threading.Event()
        self.failure: BaseException | None = None
        self.written = 0

    def run(self) -> None:
        try:
            with ingesting(self._database) as ingest:
                for turn in itertools.count():
                    if self.stop.is_set():
                        return
                    put(ingest, "moving", texts(5, turn), f"{turn % 3}-")
                    if turn % 4 == 3:
                        ingest.remove(
                            [f"{turn % 3}-{n}.txt" for n in range(3)], collection="moving"
                        )
                    self.written += 1
        except BaseException as failure:
            self.failure = failure


def stop(*threads: Searching | Writing) -> None:
    for thread in threads:
        thread.stop.set()
    for thread in threads:
        thread.join()
        if thread.failure:
            raise thread.failure


# From 4,000 chunks on the whole store is searched by the index over vectors.
@pytest.mark.parametrize(("new", "chunks"), [("alike", 1000), ("narrow", 4200)])
def test_searches_are_wholly_one_model_s_all_the_while(
    database: str, tiny_models: dict[str, str], new: str, chunks: int
) -> None:
    old = open_tiny(tiny_models["old"])
    steady = texts(chunks, 1)
    with ingesting(database, old) as ingest:
        put(ingest, "steady", steady[:600])
        put(ingest, "many", steady[600:])
    judge = Judge([old, open_tiny(tiny_models[new])], steady)
    searching, writing = Searching(database, judge, steady[:600]), Writing(database)
    searching.start()
    writing.start()
    searching.until(20)
    done = Reembed(database, Slow(open_tiny(tiny_models[new]))).run()
    assert (done.outcome, done.locked_s < 1) == ("switched", True)
    switched_at = len(searching.whose)
    searching.until(switched_at + 20)
    stop(searching, writing)
    # First the one's, then the other's, and nothing in between.
    assert switched_at > 40
    assert searching.whose == sorted(searching.whose)
    assert {*searching.whose} == {0, 1}
    assert writing.written > 5


def test_a_service_answers_and_takes_documents_all_the_while(
    database: str, tiny_models: dict[str, str], tmp_path: Path, embedder_cache: Path
) -> None:
    (tmp_path / "cache").symlink_to(embedder_cache)
    settings = Settings(
        home=tmp_path, allowed_hosts=("testserver",), embedder=DEFAULT, request_timeout_s=20
    )
    states: list[str] = []

    async def play(client: httpx.AsyncClient) -> None:
        async def post(path: str, **body: object) -> dict[str, Any]:
            reply = await client.post(path, json=body)
            assert reply.status_code == 200, reply.text
            states.extend(active for (active,) in rows(database, ACTIVE))
            told: dict[str, Any] = reply.json()
            return told

        async def ask(number: int) -> None:
            text = f"Kettle {number} is blue. The tent is red."
            assert (await post("/v1/documents", source=f"{number}.md", text=text))["new"] == 1
            for mode in ("hybrid", "dense"):
                found = await post("/v1/search", query="the blue kettle", mode=mode, k=5)
                assert len(found["passages"]) == 5 and found["complete"]
            answer = await post("/v1/answers", question="What colour is the tent?")
            assert len(answer["passages"]) == 5

        for number in range(2000, 2005):
            await post("/v1/documents", source=f"{number}.md", text=f"Kettle {number} is new.")
        for number in range(10):
            await ask(number)
        switch = asyncio.create_task(
            asyncio.to_thread(Reembed(database, Slow(open_tiny(tiny_models["narrow"]))).run)
        )
        for number in itertools.count(10):
            await ask(number)
            if switch.done():
                break
        assert (await switch).outcome == "switched"
        await ask(1000)
        assert await asyncio.to_thread(back, database, open_default(settings))
        await ask(1001)

    async def main() -> None:
        async with serving.services(settings, database) as services:
            transport = httpx.ASGITransport(create_app(services))
            async with httpx.AsyncClient(
                transport=transport, base_url="http://testserver", timeout=60
            ) as client:
                await play(client)

    asyncio.run(main())
    kinds = [kind for kind, _ in itertools.groupby(state.split(":")[0] for state in states)]
    assert kinds == ["onnx", "sentence-transformers", "onnx"]
    assert rows(database, "select count(*) from chunks where embedding is null") == [(0,)]


ACTIVE = "select name from embedder where active"


def open_default(settings: Settings) -> Callable[[str], Embedder]:
    return partial(open_embedder, cache_dir=settings.cache_dir, threads=2)
