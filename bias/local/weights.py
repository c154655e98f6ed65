"""The judge's own file: what it changes of the embedder's weights for its first reading, the whole
of the larger encoder that reads closer, their heads and the calibration.

Matrices are held in whole numbers of four bits, from -MOST to MOST, with a scale for each GROUP of
a row; of the first reader it is what was added to the embedder's. Vectors (biases and norms) and
small matrices are in float16. A product of low rank would be smaller, but loses what was learnt:
Adam's steps have no low rank.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from bias.local.ordinal import Ordinal
from model_pipeline.embedding import weights
from model_pipeline.errors import ConfigurationError

Array = NDArray[np.float32]
SHIPPED = Path(__file__).with_name("judge.safetensors")
VERSION = "2"
GROUP = 64  # numbers of a row that share a scale
MOST = 7
SMALL = 100_000  # numbers of a matrix that is not worth rounding
CLOSER = "closer."
KINDS = ("whole.", "packed.", "scale.")


@dataclass(frozen=True, slots=True, eq=False)
class Closer:
    """A larger encoder by the embedder's names, over the embedder's vocabulary, with what
    model_pipeline/embedding/bert_graph.py asks of a config; and its head."""

    weights: Mapping[str, Array]
    config: Mapping[str, Any]
    head: Array
    offset: float


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """`changes` by the embedder's names; the raw score of a text is the mean over its tokens of
    states @ head + offset. What is low is read by `closer` again, where there is one. Probabilities
    are sharpened by `exponent`. `sure` is the least probability of being off by one level at most
    at which the judge does not abstain; `spread` is the standard deviation of raw scores of fair
    sentences."""

    changes: Mapping[str, Array]
    head: Array
    offset: float
    ordinal: Ordinal
    exponent: float
    sure: float
    spread: float
    closer: Closer | None = None
    digest: str = ""

    @property
    def signature(self) -> str:
        return f"local:{weights.MODEL}:v{VERSION}:{self.digest[:12]}"

    def changed(self, base: Mapping[str, Array]) -> dict[str, Array]:
        """`base`, the embedder's weights, with the changes."""
        return {
            name: array + self.changes[name] if name in self.changes else array
            for name, array in base.items()
        }


def save(path: Path, judge: Weights, *, about: Mapping[str, Any]) -> None:
    """The file is the same bytes for the same weights."""
    tensors: dict[str, NDArray[Any]] = {
        "head": judge.head.astype(np.float32),
        "offset": np.array([judge.offset], dtype=np.float64),
        "knots": judge.ordinal.knots,
        "above": judge.ordinal.above,
        "exponent": np.array([judge.exponent]),
        "sure": np.array([judge.sure]),
        "spread": np.array([judge.spread]),
    }
    tensors |= _held("", judge.changes)
    described = {"version": VERSION, "base": weights.SHA256["model.safetensors"], **about}
    if judge.closer:
        tensors["closer.head"] = judge.closer.head.astype(np.float32)
        tensors["closer.offset"] = np.array([judge.closer.offset], dtype=np.float64)
        tensors |= _held(CLOSER, judge.closer.weights)
        described["closer"] = dict(judge.closer.config)
    save_file(tensors, path, metadata={"judge": json.dumps(described, sort_keys=True)})


def load(path: Path = SHIPPED) -> Weights:
    """Raises ConfigurationError where the file cannot be read, or is of another embedder."""
    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {}).get("judge", "{}"))
        tensors = load_file(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, SafetensorError, ValueError) as error:
        raise ConfigurationError(
            f"The bias judge's file {path} cannot be read ({error}): make it with "
            "`promptly bias train`, or reinstall the package."
        ) from error
    if about.get("version") != VERSION or about.get("base") != weights.SHA256["model.safetensors"]:
        raise ConfigurationError(
            f"The bias judge's file {path} is of another version or another embedder: make it anew "
            "with `promptly bias train`."
        )
    closer = None
    if "closer" in about:
        head, offset = tensors["closer.head"], float(tensors["closer.offset"][0])
        closer = Closer(Held(tensors, CLOSER), about["closer"], head, offset)
    return Weights(
        changes=Held(tensors, ""),
        head=tensors["head"],
        offset=float(tensors["offset"][0]),
        ordinal=Ordinal(tensors["knots"], tensors["above"]),
        exponent=float(tensors["exponent"][0]),
        sure=float(tensors["sure"][0]),
        spread=float(tensors["spread"][0]),
        closer=closer,
        digest=digest,
    )


class Held(Mapping[str, Array]):
    """Arrays as a file holds them, under names that begin with `prefix`; each is made when it is
    asked for."""

    def __init__(self, tensors: Mapping[str, NDArray[Any]], prefix: str) -> None:
        self._whole, self._packed, self._scale = (
            {
                name.removeprefix(prefix + kind): array
                for name, array in tensors.items()
                if name.startswith(prefix + kind)
            }
            for kind in KINDS
        )

    def __getitem__(self, name: str) -> Array:
        if name in self._whole:
            return self._whole[name].astype(np.float32)
        return unpacked(self._packed[name], self._scale[name])

    def __iter__(self) -> Iterator[str]:
        return iter([*self._whole, *self._packed])

    def __len__(self) -> int:
        return len(self._whole) + len(self._packed)


def _held(prefix: str, arrays: Mapping[str, Array]) -> dict[str, NDArray[Any]]:
    """What `Held` reads."""
    whole, numbers, scale = (prefix + kind for kind in KINDS)
    found: dict[str, NDArray[Any]] = {}
    for name, array in arrays.items():
        if array.size < SMALL:
            found[whole + name] = array.astype(np.float16)
        else:
            found[numbers + name], found[scale + name] = packed(array)
    return found


def packed_and_back(array: Array) -> Array:
    """What a file keeps of `array`."""
    if array.size < SMALL:
        return array.astype(np.float16).astype(np.float32)
    return unpacked(*packed(array))


def packed(matrix: Array) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    """[out, in] as [out, in / 2], two numbers a byte, and scales [out, in / GROUP]."""
    groups = matrix.reshape(len(matrix), -1, GROUP)
    scale = (np.abs(groups).max(axis=2) / MOST).astype(np.float16)
    whole = np.rint(groups / np.maximum(scale.astype(np.float32), 1e-12)[..., None])
    nibbles = (np.clip(whole, -MOST, MOST) + 8).astype(np.uint8).reshape(len(matrix), -1)
    return nibbles[:, ::2] << 4 | nibbles[:, 1::2], scale


def unpacked(numbers: NDArray[np.uint8], scale: NDArray[np.float16]) -> Array:
    """Undoes `packed`, but for what rounding took."""
    nibbles = np.stack([numbers >> 4, numbers & 15], axis=2).reshape(*scale.shape, GROUP)
    groups = (nibbles.astype(np.float32) - 8) * scale.astype(np.float32)[..., None]
    return groups.reshape(len(numbers), -1)
