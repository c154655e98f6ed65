"""A sentence-transformers model as a service uses it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tests.models import open_tiny, texts


def test_threads_embed_and_count_at_once(tiny_models: dict[str, str]) -> None:
    embedder = open_tiny(tiny_models["narrow"])
    some = texts(50, 1)
    vectors, counts = embedder.embed(some), embedder.count_tokens(some)

    def embed() -> None:
        while time.monotonic() < until:
            np.testing.assert_allclose(embedder.embed(some), vectors, atol=1e-5)

    def count() -> None:
        while time.monotonic() < until:
            assert embedder.count_tokens(some) == counts

    until = time.monotonic() + 1.5
    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(work) for work in (embed, count, embed, count)]:
            done.result()


def test_what_opens_it_again(tiny_models: dict[str, str]) -> None:
    spec = tiny_models["alike"]
    embedder = open_tiny(spec)
    assert (embedder.spec, embedder.dimensions) == (spec, 384)
