"""The judge's own file: what it changes of the embedder's weights, its head and its calibration.

Matrices are held as what was added to the embedder's, in whole numbers of four bits, from -7 to 7,
with a scale for each GROUP of a row; vectors (biases and norms) likewise, in float16. A product of
low rank would be smaller, but loses what was learnt: Adam's steps have no low rank.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
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
VERSION = "1"
GROUP = 64  # numbers of a row that share a scale


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """`changes` by the embedder's names; the raw score of a text is the mean over its tokens of
    states @ head + offset. Its probabilities are sharpened by `exponent`. `sure` is the least
    probability of being off by one level at most at which the judge does not abstain; `spread` is
    the standard deviation of raw scores of fair sentences."""

    changes: Mapping[str, Array]
    head: Array
    offset: float
    ordinal: Ordinal
    exponent: float
    sure: float
    spread: float
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


def save(path: Path, judge: Weights, *, about: Mapping[str, str]) -> None:
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
    for name, change in judge.changes.items():
        if change.ndim == 1:
            tensors[f"whole.{name}"] = change.astype(np.float16)
        else:
            tensors[f"packed.{name}"], tensors[f"scale.{name}"] = packed(change)
    described = {"version": VERSION, "base": weights.SHA256["model.safetensors"], **about}
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
    changes = {
        name.removeprefix("whole."): array.astype(np.float32)
        for name, array in tensors.items()
        if name.startswith("whole.")
    }
    for key, array in tensors.items():
        if key.startswith("packed."):
            name = key.removeprefix("packed.")
            changes[name] = unpacked(array, tensors[f"scale.{name}"])
    return Weights(
        changes=changes,
        head=tensors["head"],
        offset=float(tensors["offset"][0]),
        ordinal=Ordinal(tensors["knots"], tensors["above"]),
        exponent=float(tensors["exponent"][0]),
        sure=float(tensors["sure"][0]),
        spread=float(tensors["spread"][0]),
        digest=digest,
    )


def packed(matrix: Array) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    """[out, in] as [out, in / 2], two numbers a byte, and scales [out, in / GROUP]."""
    groups = matrix.reshape(len(matrix), -1, GROUP)
    scale = (np.abs(groups).max(axis=2) / 7).astype(np.float16)
    whole = np.rint(groups / np.maximum(scale.astype(np.float32), 1e-12)[..., None])
    nibbles = (np.clip(whole, -7, 7) + 8).astype(np.uint8).reshape(len(matrix), -1)
    return nibbles[:, ::2] << 4 | nibbles[:, 1::2], scale


def unpacked(numbers: NDArray[np.uint8], scale: NDArray[np.float16]) -> Array:
    """Undoes `packed`, but for what rounding took."""
    nibbles = np.stack([numbers >> 4, numbers & 15], axis=2).reshape(*scale.shape, GROUP)
    groups = (nibbles.astype(np.float32) - 8) * scale.astype(np.float32)[..., None]
    return groups.reshape(len(numbers), -1)
