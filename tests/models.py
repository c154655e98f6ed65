"""Tiny embedding models with random weights, as sentence-transformers keeps them, and stores with
what they embed."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray

from model_pipeline.documents.found import from_text
from model_pipeline.documents.split import Splitter
from model_pipeline.domain import Embedder
from model_pipeline.embedding import weights
from model_pipeline.embedding.factory import open_embedder
from model_pipeline.in_use import InUse
from model_pipeline.ingest import Ingest
from model_pipeline.store.connect import open_pool
from model_pipeline.store.pg_store import PgStore

WORDS = "tent rope lantern stove kettle boots jacket compass filter bottle red blue old new".split()

TITLE = "Red shop"  # it stands before what is embedded
# A half's precision, in a sum over a vector.
ROUNDING = 2e-3

open_tiny = partial(open_embedder, cache_dir=Path(), threads=2)


def build_fp32(path: Path) -> None:
    """The default embedder's graph before it is quantised, written to `path`."""
    import onnx
    from safetensors.numpy import load_file

    from model_pipeline.embedding.bert_graph import build

    folder = weights.model_folder()
    config = json.loads((folder / "config.json").read_text())
    onnx.save(build(load_file(folder / "model.safetensors"), config), path)


def make_model(folder: Path, *, dimensions: int, seed: int) -> str:
    """Makes a model in `folder`; returns its spec."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(seed)
    raw = folder / "transformer"
    raw.mkdir(parents=True)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    pieces += [*string.ascii_lowercase, *string.digits, *string.punctuation]
    pieces += [f"##{one}" for one in string.ascii_lowercase + string.digits]
    (raw / "vocab.txt").write_text("\n".join(pieces))
    BertTokenizerFast(str(raw / "vocab.txt"), model_max_length=128).save_pretrained(raw)
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=dimensions,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
        initializer_range=0.5,  # wide, so that texts lie apart
    )
    BertModel(config).save_pretrained(raw)
    transformer = Transformer(str(raw), max_seq_length=128)
    pooling = Pooling(dimensions, pooling_mode="mean")
    SentenceTransformer(modules=[transformer, pooling], device="cpu").save(str(folder / "model"))
    return f"sentence-transformers:{folder / 'model'}"


def texts(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(4, 20))) + f" {n}" for n in range(count)]


def with_splitter(embedder: Embedder) -> tuple[Embedder, Splitter]:
    return embedder, Splitter(embedder.count_tokens, max_tokens=embedder.max_tokens)


@contextmanager
def ingesting(database: str, embedder: Embedder | None = None) -> Iterator[Ingest]:
    """As `promptly ingest` does: with an embedder that is set, or following the store."""
    with open_pool(database, min_size=1, max_size=2) as pool:
        store = PgStore(pool)
        if embedder:
            yield Ingest(store, *with_splitter(embedder))
        else:
            in_use = InUse(store.embedders, open_tiny, otherwise="")

            def follow() -> tuple[Embedder, Splitter]:
                return with_splitter(in_use.follow())

            yield Ingest(store, *with_splitter(in_use.current), follow)


def put(ingest: Ingest, collection: str, contents: Sequence[str], name: str = "d") -> None:
    found = [
        from_text(f"{name}{n}.txt", text.encode(), title=TITLE, metadata={})
        for n, text in enumerate(contents)
    ]
    assert not ingest.run_found(found, collection=collection).failures


def rows(database: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


def vectors(database: str) -> dict[str, NDArray[np.float32]]:
    found = rows(database, "select content, embedding::text from chunks")
    return {content: np.array(json.loads(vector), np.float32) for content, vector in found}


def assert_close(
    vectors: dict[str, NDArray[np.float32]], others: dict[str, NDArray[np.float32]]
) -> None:
    """But for what shared a batch with each text."""
    assert vectors.keys() == others.keys()
    for content, vector in vectors.items():
        np.testing.assert_allclose(vector, others[content], atol=ROUNDING)
