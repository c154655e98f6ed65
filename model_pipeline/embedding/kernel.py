"""One text's vector by kernel.c, where the machine has AVX-512 VNNI and a C compiler.

The library is compiled at first use and kept beside the graph, with a file of the graph's weights
laid out for it, which is mapped into memory: processes share it, and it holds what is used."""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_pipeline.embedding.cache import intact, making

logger = logging.getLogger(__name__)

SOURCE = Path(__file__).with_name("kernel.c")
CPU_INFO = Path("/proc/cpuinfo")
NEEDED = ("fma", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni")
FLAGS = ("-O2", "-std=c11", "-shared", "-fPIC", *("-m" + name.replace("_", "") for name in NEEDED))
COMPILING_S = 60
ALIGNED = 64  # bytes: a register and a cache's line
# Ids of texts by which kernel and graph are compared: short, one tile and a row, and of two lengths
# of attention. How near they come was measured: 0.99 at worst, over the questions of a benchmark.
SAMPLES = ((101, 102), (101, 2054, 2003, 1037, 3231, 1029, 102), (101, *range(2000, 2030), 102))
NEAR = 0.98


class Unfit(Exception):
    """The kernel cannot be had here: why. ONNX Runtime embeds then."""


class Kernel:
    """Thread-safe: each call has a workspace to itself, and no lock is held. As many are kept as
    there were calls at once; of each, memory is taken for the longest text it embedded."""

    def __init__(self, library: Path, model: Path, *, sizes: Mapping[str, int]) -> None:
        """Raises Unfit where the library cannot be loaded or is not of this model."""
        try:
            loaded = ctypes.CDLL(str(library))  # OSError also where files may not be executed
            self._model = np.memmap(model, dtype=np.uint8, mode="r")
            expected = ctypes.c_int64.in_dll(loaded, "model_size").value
            self._workspace_size = ctypes.c_int64.in_dll(loaded, "workspace_size").value
            self._encode = loaded.encode
        except (OSError, ValueError, AttributeError) as error:
            raise Unfit(f"the library cannot be loaded: {error}") from error
        if self._model.size != expected:
            raise Unfit(f"the model's file has {self._model.size} bytes, expected {expected}")
        self._encode.argtypes = [*[ctypes.c_void_p] * 3, ctypes.c_int, ctypes.c_void_p]
        self._encode.restype = None
        self._sizes = sizes
        self._free: list[NDArray[np.uint8]] = []  # append and pop are atomic

    def encode(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """The vector of one text, [1, dimensions]. `ids` is not empty, no longer than the model
        takes, and of its vocabulary."""
        given = np.array(ids, dtype=np.int32)
        assert 0 < len(given) <= self._sizes["TOKENS"]
        assert given.min() >= 0 and given.max() < self._sizes["WORDS"]
        vector = np.empty((1, self._sizes["HIDDEN"]), dtype=np.float32)
        try:
            workspace = self._free.pop()
        except IndexError:
            workspace = _aligned(self._workspace_size)
        self._encode(
            *(self._model.ctypes.data, workspace.ctypes.data, given.ctypes.data),
            *(len(given), vector.ctypes.data),
        )
        self._free.append(workspace)
        return vector


def open_kernel(
    graph: Path,
    config: Mapping[str, Any],
    *,
    max_tokens: int,
    by_graph: Callable[[Sequence[int]], NDArray[np.float32]],
) -> Kernel:
    """The kernel of the int8 `graph`, made beside it where it is missing or damaged.

    `config` is the model's config.json, `by_graph` gives the vector of a text's ids. Raises Unfit
    where this machine cannot have the kernel, or its vectors are not the graph's."""
    sizes = {
        "WORDS": config["vocab_size"],
        "TOKENS": max_tokens,
        "HIDDEN": config["hidden_size"],
        "HEADS": config["num_attention_heads"],
        "INNER": config["intermediate_size"],
        "LAYERS": config["num_hidden_layers"],
    }
    _require_machine()
    library = _compiled(graph.parent / "kernel", sizes)
    kernel = Kernel(library, _laid_out(graph, config, sizes), sizes=sizes)
    cosine = min((kernel.encode(ids) @ by_graph(ids).T).item() for ids in SAMPLES)
    if not cosine > NEAR:  # nor what is no number
        raise Unfit(f"its vectors are not the graph's: cosine {cosine:.3f}")
    logger.debug("questions are embedded by %s", library)
    return kernel


def _require_machine() -> None:
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise Unfit("it is for Linux on x86-64")
    try:
        has = set(CPU_INFO.read_text(encoding="utf-8", errors="replace").split())
    except OSError as error:
        raise Unfit(f"{CPU_INFO} cannot be read: {error}") from error
    if missing := [name for name in NEEDED if name not in has]:
        raise Unfit(f"the processor lacks {', '.join(missing)}")


def _compiled(folder: Path, sizes: Mapping[str, int]) -> Path:
    """The library in `folder`, which nobody else may write: what stands there is executed."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise Unfit("there is no C compiler, cc")
    flags = (*FLAGS, *(f"-D{name}={size}" for name, size in sizes.items()))
    try:
        version = _run(compiler, "--version")
        made_of = (SOURCE.read_text(encoding="utf-8"), flags, version)
        key = hashlib.sha256(repr(made_of).encode()).hexdigest()[:16]
        library = folder / f"kernel-{key}.so"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = folder.stat()
        if about.st_uid not in (0, os.geteuid()) or about.st_mode & 0o022:
            raise Unfit(f"others may write {folder}")
        if not intact(library):
            with making(library) as made:
                _run(compiler, *flags, "-o", str(made), str(SOURCE), "-lm")
    except OSError as error:
        raise Unfit(f"it cannot be made: {error}") from error
    return library


def _run(*command: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603
            command, check=True, capture_output=True, text=True, timeout=COMPILING_S
        )
    except subprocess.CalledProcessError as error:
        raise Unfit(f"{command[0]} failed: {error.stderr[:500]}") from error
    except subprocess.TimeoutExpired as error:
        raise Unfit(f"{command[0]} took more than {COMPILING_S} s") from error
    return done.stdout


def _laid_out(graph: Path, config: Mapping[str, Any], sizes: Mapping[str, int]) -> Path:
    """The file of the graph's weights as `struct model` of kernel.c has them."""
    path = graph.with_name(f"{graph.stem}-kernel.bin")
    try:
        if not intact(path):
            with making(path) as made, made.open("wb") as file:
                for part in _parts(graph, config, sizes):
                    file.write(np.ascontiguousarray(part).data)
    except (OSError, KeyError, ValueError) as error:
        raise Unfit(f"the graph's weights cannot be laid out: {error}") from error
    return path


def _parts(
    graph: Path, config: Mapping[str, Any], sizes: Mapping[str, int]
) -> Iterator[NDArray[Any]]:
    """The members of `struct model`, in their order."""
    import onnx  # only needed this once, and large
    from onnx import numpy_helper

    constants = {one.name: numpy_helper.to_array(one) for one in onnx.load(graph).graph.initializer}

    def full(name: str) -> NDArray[np.float32]:
        """What the graph itself makes of it."""
        if name in constants:
            return np.asarray(constants[name], dtype=np.float32)
        steps = constants[f"{name}_quantized"].astype(np.float32)
        zero = constants[f"{name}_zero_point"].astype(np.float32)
        return np.asarray((steps - zero) * constants[f"{name}_scale"], dtype=np.float32)

    def linear(*names: str) -> Iterator[NDArray[Any]]:
        weights = np.concatenate([constants[f"{name}.weight_quantized"].T for name in names])
        if weights.dtype != np.int8 or any(
            constants[f"{n}.weight_zero_point"].any() for n in names
        ):
            raise ValueError(f"expected symmetric int8 weights in {names}")
        outputs, inputs = weights.shape
        # [outputs / 64][inputs / 4][64][4]: see LINEAR in kernel.c
        yield weights.reshape(outputs // 64, 64, inputs // 4, 4).transpose(0, 2, 1, 3)
        yield np.concatenate([full(f"{name}.weight_scale") for name in names])
        yield np.concatenate([full(f"{name}.bias") for name in names])
        yield weights.sum(axis=1, dtype=np.int32)

    def norm(name: str) -> Iterator[NDArray[Any]]:
        yield from (full(f"{name}.weight"), full(f"{name}.bias"))

    for number in range(sizes["LAYERS"]):
        layer = f"encoder.layer.{number}."
        yield from linear(*(f"{layer}attention.self.{one}" for one in ("query", "key", "value")))
        yield from linear(f"{layer}attention.output.dense")
        yield from norm(f"{layer}attention.output.LayerNorm")
        yield from linear(f"{layer}intermediate.dense")
        yield from linear(f"{layer}output.dense")
        yield from norm(f"{layer}output.LayerNorm")
    yield from norm("embeddings.LayerNorm")
    yield full("positions")[: sizes["TOKENS"]]
    words = "embeddings.word_embeddings.weight"
    yield constants[f"{words}_quantized"]
    numbers = np.zeros(16, dtype=np.float32)
    numbers[0] = constants[f"{words}_scale"]
    numbers[1] = constants[f"{words}_zero_point"]
    numbers[2] = config["layer_norm_eps"]
    yield numbers


def _aligned(size: int) -> NDArray[np.uint8]:
    whole = np.empty(size + ALIGNED, dtype=np.uint8)
    start = -whole.ctypes.data % ALIGNED
    return whole[start : start + size]
