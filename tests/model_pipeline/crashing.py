"""What the crash tests kill: real ingests and workers, in processes that start in milliseconds.

The vectors come from a hash of the text, so that nearly all of a run's time is spent in the
database, where a kill could do harm.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from multiprocessing.forkserver import ensure_running
from unittest.mock import patch
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from model_pipeline import ingest as ingesting
from model_pipeline import reembed as reembedding
from model_pipeline.documents.split import Splitter
from model_pipeline.ingest import Ingest
from model_pipeline.reembed import Reembed
from model_pipeline.store.connect import open_pool
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.queue import News, PgQueue
from model_pipeline.worker import Worker

WINDOW = 40  # words of a chunk, about
ENVIRONMENT = dict(os.environ)  # as no test has changed it yet
# NLTK alone takes three seconds where scikit-learn is installed, as it is for the tests.
IMPORTED = (
    "kagglesdk.kaggle_client",
    "nltk.translate.bleu_score",
    "promptly.bias_judges",
    "promptly.serving",
    "rich.console",
    "rouge_score.rouge_scorer",
    "tenacity",
    "training.kaggle.collect",
    "typer",
)


class HashEmbedder:
    """Equal texts have equal vectors, of one name; nothing else is promised."""

    dimensions = 384
    max_tokens = WINDOW

    def __init__(self, name: str = "hash") -> None:
        self.name = self.spec = name

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            seed = int.from_bytes(hashlib.sha256(f"{self.name}:{text}".encode()).digest()[:8])
            row[:] = np.random.default_rng(seed).normal(size=self.dimensions)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]


def processes() -> ForkServerContext:
    """Processes forked from one that has imported everything, the commands' parts too: a run of
    the tests has one such."""
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__, *IMPORTED])
    # Each starts with what the server started with: that must be no single test's environment.
    with patch.dict(os.environ, ENVIRONMENT, clear=True):
        ensure_running()
    return context


def _ingest(store: PgStore) -> Ingest:
    embedder = HashEmbedder()
    return Ingest(store, embedder, Splitter(embedder.count_tokens, max_tokens=WINDOW))


def ingest(conninfo: str, folder: str) -> None:
    ingesting.BATCH_DOCUMENTS = 4  # many transactions to be killed in
    with open_pool(conninfo, min_size=1, max_size=3) as pool:
        _ingest(PgStore(pool)).run([folder], collection="files", sync=True)
    os._exit(0)


def reembed(conninfo: str, name: str) -> None:
    reembedding.BATCH = 8  # many transactions to be killed in
    Reembed(conninfo, HashEmbedder(name)).run()
    os._exit(0)


def work(conninfo: str, until_idle: bool) -> None:
    with open_pool(conninfo, min_size=1, max_size=5) as pool:
        store = PgStore(pool)
        embedder = HashEmbedder()
        store.register_embedder(embedder.name, embedder.dimensions, embedder.spec)
        stop = threading.Event()
        worker = Worker(
            PgQueue(pool, store, uuid4()), News(conninfo), _ingest(store), tell=lambda _: None
        )
        if until_idle:
            threading.Thread(target=_stop_when_idle, args=(conninfo, stop), daemon=True).start()
        worker.run(stop)
    os._exit(0)


def _stop_when_idle(conninfo: str, stop: threading.Event) -> None:
    with open_pool(conninfo, min_size=1, max_size=1) as pool:
        while True:
            with pool.connection() as connection:
                row = connection.execute("select count(*) from jobs").fetchone()
            if row == (0,):
                stop.set()
                return
            stop.wait(0.1)
