"""`make bench`: speed and quality against the peers, in one run, printed as a table.

Absolute times are of the machine; the ratios are what is claimed. Both sides take turns in blocks,
so that a drift of the machine's speed falls on both.
"""

from __future__ import annotations

import asyncio
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import psycopg
import uvloop
from numpy.typing import NDArray

from benchmarks import scale, service, updates
from benchmarks.corpora import Corpus, corpora
from benchmarks.peers import Peer, peer
from benchmarks.stored import retriever
from model_pipeline.documents.split import Splitter
from model_pipeline.domain import SearchMode
from model_pipeline.embedding.onnx_embedder import OnnxEmbedder, open_onnx_embedder
from model_pipeline.evaluation.ranking import ndcg
from model_pipeline.ingest import Ingest
from model_pipeline.store.connect import open_pool
from model_pipeline.store.embedded import embedded_postgres
from model_pipeline.store.migrations import migrate
from model_pipeline.store.pg_store import PgStore

Report = Callable[[str, str], None]
QUESTIONS = 100
BLOCK = 25
PAUSE_S = 0.5
T = TypeVar("T")
Times = tuple[list[float], list[float]]


def percentiles(seconds: Sequence[float] | NDArray[np.float64]) -> tuple[float, float]:
    """p50 and p95 in milliseconds."""
    p50, p95 = np.percentile(seconds, [50, 95]) * 1000
    return float(p50), float(p95)


def in_turns(ours: Callable[[T], float], theirs: Callable[[T], float], items: list[T]) -> Times:
    """Seconds of each call on both sides, in blocks; a pause lets the other's threads sleep."""
    times: Times = ([], [])
    for first in range(0, len(items), BLOCK):
        block = items[first : first + BLOCK]
        for side, call in zip(times, (ours, theirs), strict=True):
            time.sleep(PAUSE_S)
            call(block[0])  # caches hold the other side's model: not counted
            side.extend(call(item) for item in block)
    return times


def embedding(embedder: OnnxEmbedder, other: Peer, questions: list[str], report: Report) -> None:
    def embed(question: str) -> float:
        started = time.perf_counter()
        embedder.embed([question])
        return time.perf_counter() - started

    times = in_turns(embed, lambda question: other.call("embed", [question])[0], questions)
    lengths = np.array(embedder.count_tokens(questions)) + 2  # the marks around a text
    ours, theirs = (np.array(side) for side in times)
    kinds = {"one question": lengths > 0, "a short one": lengths <= 12, "a long one": lengths >= 24}
    for name, chosen in kinds.items():
        (a, a95), (b, b95) = percentiles(ours[chosen]), percentiles(theirs[chosen])
        report(
            f"embed {name} (median {np.median(lengths[chosen]):.0f} tokens), p50 / p95 ms",
            f"{a:.2f} / {a95:.2f} against {b:.2f} / {b95:.2f} of sentence-transformers: "
            f"{b / a:.1f} / {b95 / a95:.1f} times faster",
        )


def ingest(
    conninfo: str, embedder: OnnxEmbedder, other: Peer, corpus: Corpus, report: Report
) -> None:
    with open_pool(conninfo, min_size=1, max_size=3) as pool:
        splitter = Splitter(embedder.count_tokens, max_tokens=embedder.max_tokens)
        started = time.perf_counter()
        done = Ingest(PgStore(pool), embedder, splitter).run(
            [str(corpus.path)], collection=corpus.collection
        )
        ours = time.perf_counter() - started
    assert done.new == len(corpus.passages)
    theirs, _ = other.call("ingest", list(corpus.passages.values()), list(corpus.passages))
    count = len(corpus.passages)
    report(
        f"ingest {corpus.collection}, passages/s",
        f"{count / ours:.0f} against {count / theirs:.0f} of langchain-postgres: "
        f"{theirs / ours:.1f} times faster",
    )


def search(
    conninfo: str, embedder: OnnxEmbedder, other: Peer, corpus: Corpus, report: Report
) -> None:
    questions = list(corpus.questions.items())[:QUESTIONS]
    peer_scores: dict[str, float] = {}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the service runs
        opened = retriever(conninfo, embedder)
        ours_is = runner.run(opened.__aenter__())

        async def retrieve(text: str, mode: SearchMode) -> tuple[float, list[str]]:
            started = time.perf_counter()
            result = await ours_is.retrieve(text, mode=mode, collection=corpus.collection)
            return time.perf_counter() - started, [one.source for one in result.passages]

        def ours_takes(item: tuple[str, str]) -> float:
            return runner.run(retrieve(item[1], "hybrid"))[0]

        def theirs_takes(item: tuple[str, str]) -> float:
            seconds, found = other.call("search", item[1])
            peer_scores[item[0]] = ndcg(found, corpus.relevant[item[0]])
            return float(seconds)

        ours, theirs = in_turns(ours_takes, theirs_takes, questions)
        (a, a95), (b, b95) = percentiles(ours), percentiles(theirs)
        report(
            f"search {corpus.collection} in process, p50 / p95 ms",
            f"{a:.2f} / {a95:.2f} against {b:.2f} / {b95:.2f} of langchain-postgres hybrid: "
            f"{b / a:.1f} / {b95 / a95:.1f} times faster",
        )
        scores = {}
        modes: tuple[SearchMode, ...] = ("hybrid", "dense", "lexical")
        for mode in modes:
            values = []
            for key, text in corpus.questions.items():
                _, found = runner.run(retrieve(text, mode))
                values.append(ndcg(found, corpus.relevant[key]))
            scores[mode] = float(np.mean(values))
        report(
            f"nDCG@10 {corpus.collection}",
            ", ".join(f"{mode} {score:.3f}" for mode, score in scores.items())
            + f"; langchain-postgres hybrid {np.mean(list(peer_scores.values())):.3f} "
            f"(first {len(questions)})",
        )
        runner.run(opened.__aexit__(None, None, None))


def main() -> None:
    lines: list[tuple[str, str]] = []

    def report(name: str, text: str) -> None:
        lines.append((name, text))
        print(f"{name:55} {text}", flush=True)

    with tempfile.TemporaryDirectory() as folder, peer() as other:
        home = Path(folder)
        embedder = open_onnx_embedder(cache_dir=home / "cache", threads=2)
        found = corpora()
        questions = [text for corpus in found for text in corpus.questions.values()]
        embedding(embedder, other, questions, report)
        with embedded_postgres(home / "postgres") as conninfo:
            migrate(conninfo)
            with psycopg.connect(conninfo, autocommit=True) as connection:
                connection.execute("create database peer")
            socket = conninfo.split()[0].removeprefix("host=")
            with psycopg.connect(f"host={socket} dbname=peer user=postgres") as connection:
                connection.execute("create extension vector")
            for corpus in found:
                other.call("open", f"postgresql+psycopg://postgres@/peer?host={socket}")
                ingest(conninfo, embedder, other, corpus, report)
                search(conninfo, embedder, other, corpus, report)
        service.measure(home, embedder, report)
        updates.measure(home, embedder, found[-1], report)
        if "--no-scale" not in sys.argv:
            scale.measure(home / "scale", report)
        if "--million" in sys.argv:
            scale.measure(home / "million", report, chunks=1_000_000)
    results = Path(__file__).parent / "results.json"
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    results.write_text(json.dumps({"machine": machine, "figures": dict(lines)}, indent=2) + "\n")


if __name__ == "__main__":
    main()
