"""The rubric: what each level means, in general and for each dimension, with examples."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from bias.verdicts import LEVELS, Dimension

FILE = "rubric-1.yaml"


@dataclass(frozen=True, slots=True)
class Anchor:
    """What a text of this level says, by this dimension; `examples` are whole texts."""

    dimension: Dimension
    level: int
    text: str
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rubric:
    """`names` and `meanings` are of LEVELS; `asks` is each dimension's question."""

    version: int
    digest: str
    names: Mapping[int, str]
    meanings: Mapping[int, str]
    asks: Mapping[Dimension, str]
    anchors: tuple[Anchor, ...]

    @property
    def signature(self) -> str:
        return f"rubric-{self.version}|{self.digest}"

    def of(self, dimension: Dimension) -> list[Anchor]:
        """From level 1 to 5."""
        return [one for one in self.anchors if one.dimension is dimension]


@cache
def rubric() -> Rubric:
    content = files("bias").joinpath(FILE).read_bytes()
    found = yaml.safe_load(content)
    dimensions = {Dimension(name): given for name, given in found["dimensions"].items()}
    return Rubric(
        version=found["version"],
        digest=hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()[:12],
        names={level: found["levels"][level]["name"] for level in LEVELS},
        meanings={level: found["levels"][level]["means"] for level in LEVELS},
        asks={dimension: given["asks"] for dimension, given in dimensions.items()},
        anchors=tuple(
            Anchor(dimension, level, given[level]["anchor"], tuple(given[level]["examples"]))
            for dimension, given in dimensions.items()
            for level in LEVELS
        ),
    )


def markdown(shown: Rubric) -> str:
    """For the docs, which a test keeps equal to it."""
    lines = ["| level | | such a text |", "| --: | :-- | :-- |"]
    lines += [f"| {n} | {shown.names[n]} | {shown.meanings[n]} |" for n in LEVELS]
    for dimension, asks in shown.asks.items():
        lines += ["", f"**{dimension.value.capitalize()}.** {asks}", ""]
        lines += ["| level | such a text | examples |", "| --: | :-- | :-- |"]
        lines += [
            f"| {one.level} | {one.text} | {' '.join(f'“{text}”' for text in one.examples)} |"
            for one in shown.of(dimension)
        ]
    return "\n".join([*lines, ""])
