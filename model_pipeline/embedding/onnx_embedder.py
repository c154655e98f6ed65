"""The default embedder: all-MiniLM-L6-v2 as an int8 ONNX graph, made once and kept in a cache."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tokenizers import Tokenizer

from model_pipeline.embedding import weights
from model_pipeline.embedding.cache import intact, making
from model_pipeline.embedding.kernel import Kernel, Unfit, open_kernel
from model_pipeline.errors import ConfigurationError

logger = logging.getLogger(__name__)

# Raised with every change to the graph or its quantisation that changes vectors.
GRAPH_VERSION = 2
MAX_TOKENS = 256
# Tokens of one batch: enough to make up for passing from operator to operator, few enough for a
# core's caches.
BATCH_TOKENS = 256
# Up to so many the kernel is the faster one, text by text.
SHORT_TOKENS = 64
# No text needs more than this many characters for MAX_TOKENS tokens, but for long runs of spaces.
TOKENISED_CHARACTERS = 16 * MAX_TOKENS
_SPACES = re.compile(r"\s+")
_SURROGATES = re.compile("[\ud800-\udfff]")


class OnnxEmbedder:
    """Thread-safe. One text is embedded by the kernel on the caller's thread where this machine can
    have it, else by all `threads` together; many are by one thread a batch, so that none waits for
    another between two operators, and short ones by the kernel, too. Vectors of one text differ by
    up to about 1e-2 with what shares its batch, since the int8 graph scales each batch's
    activations together."""

    def __init__(
        self,
        graph: Path,
        tokenizer: Path,
        *,
        name: str,
        threads: int,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """`config` is the model's config.json, of an int8 graph that the kernel may stand for."""
        self._name = name
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._cutting = Tokenizer.from_file(str(tokenizer))
        self._cutting.no_padding()
        self._cutting.enable_truncation(MAX_TOKENS)
        self._alone = session(graph, threads=1)
        self._kernel: Kernel | None = None
        self._no_kernel = "the graph is not quantised"
        if config:
            self._open_kernel(graph, config)
        shared = threads > 1 and not self._kernel
        self._together = session(graph, threads=threads) if shared else self._alone
        self._busy = Lock()
        self._workers = ThreadPoolExecutor(threads, thread_name_prefix="embed-batch")
        self._dimensions = int(self._alone.get_outputs()[0].shape[1])

    @property
    def name(self) -> str:
        return self._name

    @property
    def spec(self) -> str:
        return f"onnx:{weights.MODEL}"

    @property
    def dimensions(self) -> int:
        return self._dimensions

    @property
    def max_tokens(self) -> int:
        return MAX_TOKENS

    @property
    def by(self) -> str:
        """What embeds single texts, for people."""
        if self._kernel:
            return "questions by the kernel"
        return f"questions by ONNX Runtime: {self._no_kernel}"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        encoded = self._cutting.encode_batch_fast([_prefix(text) for text in texts])
        ids = [encoding.ids for encoding in encoded]
        if len(ids) == 1:
            return self._embed_one(ids[0])
        vectors = np.empty((len(ids), self._dimensions), dtype=np.float32)

        def run(batch: list[int]) -> None:
            if self._kernel and len(ids[batch[0]]) <= SHORT_TOKENS:
                for index in batch:
                    vectors[index] = self._kernel.encode(ids[index])[0]
            else:
                vectors[batch] = _run(self._alone, [ids[index] for index in batch])

        for _ in self._workers.map(run, _batches([len(row) for row in ids])):
            pass
        return vectors

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        encoded = self._tokenizer.encode_batch_fast(
            [_encodable(text) for text in texts], add_special_tokens=False
        )
        return [len(encoding.ids) for encoding in encoded]

    def _open_kernel(self, graph: Path, config: Mapping[str, Any]) -> None:
        def by_graph(ids: Sequence[int]) -> NDArray[np.float32]:
            return _run(self._alone, [ids])

        try:
            self._kernel = open_kernel(graph, config, max_tokens=MAX_TOKENS, by_graph=by_graph)
        except Unfit as why:
            self._no_kernel = str(why)
            logger.info("questions are embedded by ONNX Runtime: %s", why)

    def _embed_one(self, ids: Sequence[int]) -> NDArray[np.float32]:
        if self._kernel:
            return self._kernel.encode(ids)
        # Only one at a time has all threads: two that share them would take longer than apart.
        if not self._busy.acquire(blocking=False):
            return _run(self._alone, [ids])
        try:
            return _run(self._together, [ids])
        finally:
            self._busy.release()


def _run(session: ort.InferenceSession, ids: Sequence[Sequence[int]]) -> NDArray[np.float32]:
    """Vectors of texts of the same length, [len(ids), dimensions]."""
    (vectors,) = session.run(["vectors"], {"input_ids": np.array(ids, dtype=np.int32)})
    result: NDArray[np.float32] = vectors
    return result


def session(graph: Path, *, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Between two operators threads wait awake, which is worth a third of a short question's time;
    # with the run's end they sleep, since the database needs the cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = 3
    return ort.InferenceSession(
        str(graph),
        options,
        providers=["CPUExecutionProvider"],
        # Its fused kernel takes twice the time of the two operators it stands for.
        disabled_optimizers=["SkipLayerNormFusion"],
    )


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices of texts of the same length, at most BATCH_TOKENS tokens a batch. The longest come
    first, so that threads which take them by turns end together."""
    by_length = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    for length, same in groupby(by_length, key=lengths.__getitem__):
        rest = list(same)
        size = max(1, BATCH_TOKENS // length)
        for first in range(0, len(rest), size):
            yield rest[first : first + size]


def _prefix(text: str) -> str:
    """As much of `text` as can matter, so that a megabyte costs no more than a page."""
    if len(text) > TOKENISED_CHARACTERS:
        # Spaces are no tokens: without folding them a prefix could hold nothing else.
        text = _SPACES.sub(" ", text[: 64 * TOKENISED_CHARACTERS])[:TOKENISED_CHARACTERS]
    return _encodable(text)


def _encodable(text: str) -> str:
    return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text)


def open_onnx_embedder(*, cache_dir: Path, threads: int) -> OnnxEmbedder:
    """The embedder over the graph in `cache_dir`, made there first where it is missing or damaged.

    Takes some seconds the first time. Raises ConfigurationError where the weights are not the
    published ones, or the cache cannot be written.
    """
    folder = weights.model_folder()
    tokenizer = weights.checked(folder, "tokenizer.json")
    key = f"{weights.SHA256['model.safetensors'][:8]}-v{GRAPH_VERSION}"
    graph = cache_dir / f"{weights.MODEL}-int8-{key}.onnx"
    if not intact(graph):
        _make(folder, graph)
    name = f"onnx:{weights.MODEL}:int8:{key}"
    return OnnxEmbedder(graph, tokenizer, name=name, threads=threads, config=_config(folder))


def _config(folder: Path) -> Any:
    return json.loads(weights.checked(folder, "config.json").read_text(encoding="utf-8"))


def _make(folder: Path, graph: Path) -> None:
    """Build and quantise beside `graph`, then rename: it is there whole or not at all."""
    # Only needed this once, and large.
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from safetensors.numpy import load_file

    from model_pipeline.embedding.bert_graph import build

    source = weights.checked(folder, "model.safetensors")
    try:
        with making(graph) as made:
            quantize_dynamic(
                build(load_file(source), _config(folder)),
                made,
                per_channel=True,
                weight_type=QuantType.QInt8,
                extra_options={"DefaultTensorType": 1},  # onnx.TensorProto.FLOAT
            )
    except OSError as error:
        raise ConfigurationError(
            f"The embedder's cache {graph.parent} cannot be written ({error.strerror or error}): "
            "free disk space, mend its permissions, or name another folder with PROMPTLY_HOME."
        ) from error
