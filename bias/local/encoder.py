"""How much each token of a text adds to its raw score: by the embedder's transformer with the
judge's changes, and again by the judge's larger encoder where the first reading is low. Int8 ONNX
graphs, made once and kept in the cache."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bias.local.weights import Weights
from model_pipeline.embedding import weights as embedder
from model_pipeline.embedding.cache import intact, making
from model_pipeline.embedding.onnx_embedder import session
from model_pipeline.errors import ConfigurationError

# What a piece of text may hold; more of it is not read. Training cuts its texts to the same.
MAX_TOKENS = 96
# Raw scores below which a piece is read closer: of the calibration texts four in five, of plain
# sentences one in twelve. It agrees with people as well as where all are.
DOUBT = 4.3
# Most rated texts end without a full stop, and all of the fair ones from elsewhere with one: a
# judge that saw it would take it for fairness.
FULL_STOP = ". \t\n\N{HORIZONTAL ELLIPSIS}"
SURROGATES = dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}")


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """A piece's raw score, about 1 to 5, and what each of its tokens has of it: `parts[i]` is of
    the characters `places[i]`; the score is their mean."""

    raw: float
    parts: NDArray[np.float32]
    places: Sequence[tuple[int, int]]


class Encoder:
    """Thread-safe; a piece takes one thread."""

    def __init__(self, judge: Weights, *, cache_dir: Path, threads: int) -> None:
        folder = embedder.model_folder()
        self._tokenizer = tokenizer(folder)
        kept = cache_dir / "bias"
        self._first = _Reader(
            kept / f"{embedder.MODEL}-int8-{judge.digest[:16]}.onnx",
            lambda: (judge.changed(base(folder)), config(folder)),
            judge.head,
            judge.offset,
        )
        self._closer: _Reader | None = None
        if closer := judge.closer:
            self._closer = _Reader(
                kept / f"closer-int8-{judge.digest[:16]}.onnx",
                lambda: (closer.weights, closer.config),
                closer.head,
                closer.offset,
            )
        self._workers = ThreadPoolExecutor(threads, thread_name_prefix="bias-piece")

    def read(self, pieces: Sequence[str]) -> list[Read]:
        encoded = self._tokenizer.encode_batch([as_read(piece) for piece in pieces])
        parts = self._workers.map(self._run, [one.ids for one in encoded])
        return [
            Read(float(part.mean()), part, one.offsets)
            for part, one in zip(parts, encoded, strict=True)
        ]

    def _run(self, ids: list[int]) -> NDArray[np.float32]:
        """[tokens]."""
        parts = self._first.parts(ids)
        return self._closer.parts(ids) if self._closer and parts.mean() < DOUBT else parts

    def count(self, text: str) -> int:
        """Tokens of `text`, MAX_TOKENS at most."""
        return len(self._tokenizer.encode(text.translate(SURROGATES)).ids)


class _Reader:
    def __init__(
        self,
        graph: Path,
        made_of: Callable[[], tuple[Mapping[str, NDArray[np.float32]], Mapping[str, Any]]],
        head: NDArray[np.float32],
        offset: float,
    ) -> None:
        """`made_of` gives weights and a config, where `graph` is not there yet."""
        if not intact(graph):
            _make(*made_of(), graph)
        self._session = session(graph, threads=1)
        self._head, self._offset = head, offset

    def parts(self, ids: list[int]) -> NDArray[np.float32]:
        """[tokens]. One piece at a time: the graph scales the activations of a batch together, and
        a verdict would change with what else is judged."""
        given = np.array([ids], dtype=np.int32)
        (states,) = self._session.run(["states"], {"input_ids": given})
        parts: NDArray[np.float32] = states[0] @ self._head + self._offset
        return parts


def as_read(text: str) -> str:
    return text.translate(SURROGATES).rstrip(FULL_STOP)


def tokenizer(folder: Path) -> Tokenizer:
    """Of the embedder in `folder`; it cuts at MAX_TOKENS."""
    found = Tokenizer.from_file(str(embedder.checked(folder, "tokenizer.json")))
    found.no_padding()
    found.enable_truncation(MAX_TOKENS)
    return found


def config(folder: Path) -> Any:
    return json.loads(embedder.checked(folder, "config.json").read_text(encoding="utf-8"))


def base(folder: Path) -> dict[str, NDArray[np.float32]]:
    """The embedder's weights."""
    from safetensors.numpy import load_file

    return load_file(embedder.checked(folder, "model.safetensors"))


def _make(
    weights: Mapping[str, NDArray[np.float32]], config: Mapping[str, Any], graph: Path
) -> None:
    # Only needed this once, and large.
    from onnxruntime.quantization import QuantType, quantize_dynamic

    from model_pipeline.embedding.bert_graph import build

    try:
        with making(graph) as made:
            quantize_dynamic(
                build(weights, config, pooled=False),
                made,
                per_channel=True,
                weight_type=QuantType.QInt8,
                extra_options={"DefaultTensorType": 1},  # onnx.TensorProto.FLOAT
            )
    except OSError as error:
        raise ConfigurationError(
            f"The bias judge's cache {graph.parent} cannot be written "
            f"({error.strerror or error}): free disk space, mend its permissions, or name another "
            "folder with PROMPTLY_HOME."
        ) from error
