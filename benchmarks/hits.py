"""`python -m benchmarks.hits`: what giving an answer again takes, against embedding its question.

Through the service's own parts, as a person whom row-level security binds, while 500 answers are
kept. The sides take turns in blocks. Time is that of the clock, and of processors: this process',
and the database's.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import numpy as np
import psycopg
import uvloop

from model_pipeline.domain import Caller, Chunk, Document
from model_pipeline.embedding.factory import open_embedder
from model_pipeline.store.connect import open_pool
from model_pipeline.store.embedded import embedded_postgres
from model_pipeline.store.migrations import migrate
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.rows import EmbeddedDocument
from promptly import serving
from promptly.settings import Settings

ROUNDS, BLOCK = 1_000, 25
SHOPS = (
    "bakery butcher pharmacy florist library museum bank cinema gym barber tailor bookshop winery "
    "post-office tea-house market observatory theatre swimming-pool bicycle-shop"
).split()
TOWNS = (
    "Lisbon Porto Madrid Seville Paris Lyon Rome Turin Vienna Graz Prague Brno Warsaw Krakow "
    "Berlin Hamburg Oslo Bergen Dublin Cork Athens Riga Tallinn Helsinki Turku"
).split()
WHO = str(uuid4())
CALLER = Caller("authenticated", {"sub": WHO, "role": "authenticated"})
PLACES = [(shop, town) for shop in SHOPS for town in TOWNS]
ASKED = [f"When in the morning does the {a} in {b} open for its customers?" for a, b in PLACES]

Call = Callable[[str], Awaitable[object]]


@dataclass
class Taken:
    """Milliseconds a call: of the clock, and of processors here and in the database."""

    wall: list[float] = field(default_factory=list)
    here: list[float] = field(default_factory=list)
    there: list[float] = field(default_factory=list)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder))
        with embedded_postgres(Path(folder) / "postgres") as conninfo:
            migrate(conninfo)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(timings(conninfo, settings))


async def timings(conninfo: str, settings: Settings) -> None:
    async with shops(conninfo, settings) as parts:

        async def embed(question: str) -> None:
            loop, encoder = asyncio.get_running_loop(), parts.embedders.current
            await loop.run_in_executor(parts.executor, encoder.embed, [question])

        async def ask(question: str) -> None:
            assert (await parts.acting_for(CALLER)[1].answer(question)).cached

        async def reworded(question: str) -> None:
            await ask(question.replace("When", "when").replace("the ", ""))

        sides = {"embedding alone": embed, "the same again": ask, "in other words": reworded}
        for question in ASKED:
            await parts.acting_for(CALLER)[1].answer(question)
        taken = await in_turns(sides, conninfo)
    base = taken["embedding alone"]
    print(f"\n{'':18}{'p50':>8}{'p95':>8}   of the embedding's: p50, p95, processor here, and all")
    for name, one in taken.items():
        p50, p95 = np.percentile(one.wall, [50, 95])
        ratios = np.percentile(one.wall, [50, 95]) / np.percentile(base.wall, [50, 95])
        here = np.median(one.here) / np.median(base.here)
        everywhere = (np.median(one.here) + np.median(one.there)) / np.median(base.here)
        print(
            f"{name:18}{p50:8.2f}{p95:8.2f}   {ratios[0]:.2f}, {ratios[1]:.2f}, {here:.2f}, "
            f"{everywhere:.2f}"
        )


async def in_turns(sides: dict[str, Call], conninfo: str) -> dict[str, Taken]:
    taken = {name: Taken() for name in sides}
    servers = backends(conninfo)
    for first in range(0, ROUNDS, BLOCK):
        for name, call in sides.items():
            await asyncio.sleep(0.1)
            here, there = time.process_time(), processor_s(servers)
            for number in range(first, first + BLOCK):
                started = time.perf_counter()
                await call(ASKED[number % len(ASKED)])
                taken[name].wall.append((time.perf_counter() - started) * 1000)
            taken[name].here.append((time.process_time() - here) / BLOCK * 1000)
            taken[name].there.append((processor_s(servers) - there) / BLOCK * 1000)
    return taken


def backends(conninfo: str) -> list[int]:
    """The database's processes that the service is connected to."""
    with psycopg.connect(conninfo) as connection:
        query = (
            "select pid from pg_stat_activity where backend_type = 'client backend' "
            "and datname = current_database() and pid <> pg_backend_pid()"
        )
        return [pid for (pid,) in connection.execute(query)]


def processor_s(processes: Sequence[int]) -> float:
    """As Linux tells it, to the nanosecond."""
    files = [Path(f"/proc/{process}/schedstat") for process in processes]
    return sum(int(one.read_text().split()[0]) for one in files if one.exists()) / 1e9


@asynccontextmanager
async def shops(conninfo: str, settings: Settings) -> AsyncIterator[serving.Answering]:
    """The service's parts over a collection that is CALLER's."""
    embedder = open_embedder("onnx:all-MiniLM-L6-v2", cache_dir=settings.cache_dir, threads=2)
    texts = [f"The {a} in {b} opens at {len(a)} in the morning." for a, b in PLACES]
    vectors = embedder.embed(texts)
    with open_pool(conninfo, min_size=1, max_size=1) as pool:
        store = PgStore(pool)
        store.register_embedder(embedder.name, embedder.dimensions, embedder.spec)
        documents = [
            EmbeddedDocument(
                Document(str(n), "", text), "h", "o", [Chunk(0, 0, len(text), text)], vector[None]
            )
            for n, (text, vector) in enumerate(zip(texts, vectors, strict=True))
        ]
        store.replace_documents(store.ensure_collection("shops"), documents)
        with psycopg.connect(conninfo) as connection:
            connection.execute("update collections set owner_id = %s", (WHO,))
        async with serving.answering(settings, conninfo, store) as parts:
            yield parts


if __name__ == "__main__":
    main()
