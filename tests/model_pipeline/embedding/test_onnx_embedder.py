"""The int8 embedder, against the graph before quantisation and against sentence-transformers."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from model_pipeline.embedding import weights
from model_pipeline.embedding.factory import open_embedder
from model_pipeline.embedding.onnx_embedder import (
    MAX_TOKENS,
    OnnxEmbedder,
    open_onnx_embedder,
)
from model_pipeline.errors import ConfigurationError
from tests.models import build_fp32

TEXTS = [
    "When are default parameter values evaluated?",
    "",
    "naïve café 東京 🎉",
    "x" * 5000,
    "The quick brown fox jumps over the lazy dog. " * 40,
    *("word " * n for n in range(1, 30, 4)),
]


@pytest.fixture(scope="module")
def full_precision(tmp_path_factory: pytest.TempPathFactory) -> OnnxEmbedder:
    graph = tmp_path_factory.mktemp("graph") / "fp32.onnx"
    build_fp32(graph)
    tokenizer = weights.model_folder() / "tokenizer.json"
    return OnnxEmbedder(graph, tokenizer, name="fp32", threads=2)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_the_graph_equals_sentence_transformers(full_precision: OnnxEmbedder) -> None:
    from model_pipeline.embedding.sentence_transformers_embedder import (
        SentenceTransformersEmbedder,
    )

    theirs = SentenceTransformersEmbedder(str(weights.model_folder()), device="cpu")
    assert np.abs(full_precision.embed(TEXTS) - theirs.embed(TEXTS)).max() < 1e-5
    assert theirs.dimensions == full_precision.dimensions
    assert theirs.max_tokens == MAX_TOKENS
    assert theirs.count_tokens(TEXTS[:3]) == full_precision.count_tokens(TEXTS[:3])


def test_int8_stays_near_full_precision(
    embedder: OnnxEmbedder, full_precision: OnnxEmbedder
) -> None:
    cosines = (embedder.embed(TEXTS) * full_precision.embed(TEXTS)).sum(axis=1)
    assert cosines.mean() > 0.985
    assert cosines.min() > 0.95


def test_vectors_are_unit_and_in_the_order_given(embedder: OnnxEmbedder) -> None:
    # Texts of many lengths, so that batches are sorted, and no two alike.
    texts = [
        *TEXTS[:5],
        *(f"{topic} " * n for n, topic in enumerate("sea tax owl jazz".split(), 1)),
    ]
    texts.reverse()
    vectors = embedder.embed(texts)
    assert vectors.shape == (len(texts), embedder.dimensions)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
    alone = np.stack([embedder.embed([text])[0] for text in texts])
    assert (vectors @ alone.T).argmax(axis=1).tolist() == list(range(len(texts)))


def test_nothing_to_embed_is_no_error(embedder: OnnxEmbedder) -> None:
    assert embedder.embed([]).shape == (0, embedder.dimensions)
    assert embedder.count_tokens([]) == []


def test_what_is_cut_off_does_not_count(embedder: OnnxEmbedder) -> None:
    page = "evaluation of default values " * 2000
    assert np.allclose(embedder.embed([page]), embedder.embed([page + "unrelated " * 90_000]))
    assert np.isfinite(embedder.embed([" " * 1_000_000])).all()


def test_hostile_texts_embed(embedder: OnnxEmbedder, shared_data: Path) -> None:
    lines = json.loads((shared_data / "blns" / "blns.json").read_text(encoding="utf-8"))
    vectors = embedder.embed([*lines, "\0", "\ud800 lone", "\u202e right to left"])
    assert np.isfinite(vectors).all()


def test_threads_may_share_it(embedder: OnnxEmbedder) -> None:
    alone = [embedder.embed([text]) for text in TEXTS]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda text: embedder.embed([text]), TEXTS * 5))
    assert all(np.array_equal(a, b) for a, b in zip(alone * 5, together, strict=True))


def test_a_damaged_cache_is_made_anew(embedder_cache: Path, tmp_path: Path) -> None:
    graph = next(embedder_cache.glob("*.onnx"))
    (tmp_path / graph.name).write_bytes(graph.read_bytes()[:1000])
    (tmp_path / graph.with_suffix(".sha256").name).write_text("0" * 64)
    made = open_onnx_embedder(cache_dir=tmp_path, threads=1)
    assert made.embed(["mended"]).shape == (1, made.dimensions)
    assert (tmp_path / graph.name).stat().st_size == graph.stat().st_size
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_cache_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        open_onnx_embedder(cache_dir=tmp_path / "file", threads=1)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"not the model")
    with pytest.raises(ConfigurationError, match="not the published one"):
        weights.checked(tmp_path, "model.safetensors")


def test_an_unknown_embedder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="PROMPTLY_EMBEDDER"):
        open_embedder("word2vec", cache_dir=tmp_path, threads=1)


def test_it_is_built_without_torch(tmp_path: Path) -> None:
    """In a process where importing what the default install lacks would fail."""
    code = f"""
import sys
from pathlib import Path
for name in ("torch", "sympy", "transformers", "sentence_transformers"):
    sys.modules[name] = None
from model_pipeline.embedding.onnx_embedder import open_onnx_embedder
print(open_onnx_embedder(cache_dir=Path({str(tmp_path)!r}), threads=2).embed(["a"]).shape)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "(1, 384)\n", done.stderr
    assert done.stderr == ""
