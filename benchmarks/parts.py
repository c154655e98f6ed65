"""Where a search's time goes: CPU time by part, of all questions and of the slowest twentieth.

    .venv/bin/python -m benchmarks.parts      # a minute; Linux

CPU time grows little with what else the machine does; wall-clock time, beside it, does. Each
question
is asked in a row with the others, and after a pause, as by somebody who reads in between.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import uvloop
from numpy.typing import NDArray

from benchmarks.corpora import Corpus, corpora
from benchmarks.stored import store
from model_pipeline.domain import Embedder
from model_pipeline.embedding.onnx_embedder import open_onnx_embedder
from model_pipeline.store.connect import open_async_pool
from model_pipeline.store.embedded import embedded_postgres
from model_pipeline.store.retrieval import PgRetriever
from rag_service.retrieve import Retriever

ROUNDS = 3
PAUSES_S = (0.0, 0.005)
PARTS = ("embedding", "statement", "the rest", "CPU in all", "wall clock")


def backend_s(pid: int) -> float:
    """Seconds on a CPU of a server's process."""
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9


async def measure(conninfo: str, embedder: Embedder, corpus: Corpus) -> None:
    questions = list(corpus.questions.values())
    async with open_async_pool(conninfo, min_size=1, max_size=1) as pool:
        async with pool.connection() as connection:
            pid = connection.info.backend_pid
        with ThreadPoolExecutor(1) as executor:
            embeds_in = time.pthread_getcpuclockid(executor.submit(threading.get_ident).result())
            retriever = Retriever(embedder, PgRetriever(pool), executor)

            def clocks() -> NDArray[np.float64]:
                """Seconds: of the embedding's thread, the server's process, this process, all."""
                spent = time.clock_gettime(embeds_in), backend_s(pid), time.process_time()
                return np.array((*spent, time.perf_counter()))

            async def ask(question: str) -> tuple[float, ...]:
                before = clocks()
                await retriever.retrieve(question, collection=corpus.collection)
                embedding, statement, here, wall = clocks() - before
                return embedding, statement, here - embedding, here + statement, wall

            for question in questions:  # plans and caches
                await ask(question)
            for pause in PAUSES_S:
                rounds: list[list[tuple[float, ...]]] = []
                for _ in range(ROUNDS):
                    rounds.append([])
                    for question in questions:
                        await asyncio.sleep(pause)
                        rounds[-1].append(await ask(question))
                _report(corpus, pause, np.median(np.array(rounds), axis=0) * 1000)


def _report(corpus: Corpus, pause: float, times: NDArray[np.float64]) -> None:
    """`times`: milliseconds, [questions, parts]."""
    slowest = np.argsort(times[:, PARTS.index("CPU in all")])[-max(1, len(times) // 20) :]
    said = f"after {pause * 1000:.0f} ms" if pause else "in a row"
    print(f"{corpus.collection}, {len(times)} questions {said}, ms:")
    for part, column in zip(PARTS, times.T, strict=True):
        p50, p95 = np.percentile(column, [50, 95])
        print(
            f"  {part:11} mean {column.mean():5.2f}  p50 {p50:5.2f}  p95 {p95:5.2f}  "
            f"the slowest twentieth {column[slowest].mean():5.2f}"
        )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        embedder = open_onnx_embedder(cache_dir=Path(folder) / "cache", threads=2)
        with embedded_postgres(Path(folder) / "postgres") as conninfo:
            found = corpora()
            store(conninfo, embedder, found)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                for corpus in found:
                    runner.run(measure(conninfo, embedder, corpus))


if __name__ == "__main__":
    main()
