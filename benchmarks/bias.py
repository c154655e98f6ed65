"""`python -m benchmarks.bias`: what a judge in the way of answers takes.

The service's own parts over a public collection, answers not kept; the sides (no policy, flag,
withhold) take turns in blocks. Time is that of the clock, and of this process' processors. How many
texts the judge reads a second is benchmarks.bias_judge's.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
import uvloop

from benchmarks.corpora import Corpus, corpora
from benchmarks.stored import store
from model_pipeline.embedding.onnx_embedder import open_onnx_embedder
from model_pipeline.store.connect import open_pool
from model_pipeline.store.embedded import embedded_postgres
from model_pipeline.store.pg_store import PgStore
from promptly import serving
from promptly.settings import Settings

POLICIES = ("off", "flag", "withhold")
QUESTIONS, BLOCK = 400, 20


def main() -> None:
    corpus = next(one for one in corpora() if one.collection == "mtrag")
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder), cache=False)
        embedder = open_onnx_embedder(cache_dir=settings.cache_dir, threads=settings.threads)
        with embedded_postgres(Path(folder) / "postgres") as conninfo:
            store(conninfo, embedder, [corpus])
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(timings(conninfo, settings, corpus))


async def timings(conninfo: str, settings: Settings, corpus: Corpus) -> None:
    asked = list(corpus.questions.values())
    wall: dict[str, list[float]] = {name: [] for name in POLICIES}
    here: dict[str, list[float]] = {name: [] for name in POLICIES}
    lengths: list[int] = []
    async with AsyncExitStack() as stack:
        pool = stack.enter_context(open_pool(conninfo, min_size=1, max_size=2))
        sides = {}
        for name in POLICIES:
            chosen = settings.model_copy(update={"bias_policy": name})
            parts = serving.answering(chosen, conninfo, PgStore(pool))
            sides[name] = (await stack.enter_async_context(parts)).answerer
        for first in range(-BLOCK, QUESTIONS, BLOCK):  # the first block warms up
            for name, answerer in sides.items():
                await asyncio.sleep(0.1)
                for number in range(first, first + BLOCK):
                    started, spent = time.perf_counter(), time.process_time()
                    found = await answerer.answer(asked[number % len(asked)])
                    if found.declined or first < 0:
                        continue
                    wall[name].append((time.perf_counter() - started) * 1000)
                    here[name].append((time.process_time() - spent) * 1000)
                    if name == "off":
                        lengths.append(len(found.answer))
    print(f"{len(lengths)} answers, {np.median(lengths):.0f} characters (median)")
    print(f"{'':10}{'p50':>8}{'p95':>8}   of those without a policy: p50, p95, processor time")
    for name in POLICIES:
        p50, p95 = np.percentile(wall[name], [50, 95])
        ratios = np.percentile(wall[name], [50, 95]) / np.percentile(wall["off"], [50, 95])
        spent = np.mean(here[name]) / np.mean(here["off"])
        print(f"{name:10}{p50:8.1f}{p95:8.1f}   {ratios[0]:.2f}, {ratios[1]:.2f}, {spent:.2f}")


if __name__ == "__main__":
    main()
