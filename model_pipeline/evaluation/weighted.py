"""The weighted score and the composite: sums of figures, resampled as one.

The parts of one resample are of the same examples, so that what they share is in the interval.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from model_pipeline.evaluation.measured import Figures, Measured, ratio
from model_pipeline.evaluation.scorecard import RUBRIC
from model_pipeline.evaluation.weights import Weights


def _itself(figures: Figures) -> Figures:
    return figures


@dataclass(frozen=True, slots=True)
class Part:
    weight: float
    measured: Measured
    scale: Callable[[Figures], Figures] = _itself


@dataclass(frozen=True, slots=True, eq=False)
class Weighted(Measured):
    """The weighted sum of `parts` over the same examples, and a `constant`. It has no statistics
    but theirs; an example that one part leaves out counts in the others."""

    parts: tuple[Part, ...] = ()
    constant: float = 0.0
    adds_up: ClassVar[bool] = False

    def figures(self, weights: NDArray[np.float64]) -> Figures:
        return self._sum([one.figures(weights * one.scored) for one in self._measured()])

    def each(self) -> Figures:
        return self._sum([one.each() for one in self._measured()])

    def only(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> Self:
        return self._of([one.only(chosen) for one in self._measured()])

    def masked(self, chosen: NDArray[np.bool_]) -> Self:
        return self._of([one.masked(chosen) for one in self._measured()])

    def exchanged(self, other: Self, swap: NDArray[np.float64]) -> tuple[Figures, Figures]:
        """Both take this one's constant: a constant is no chance."""
        pairs = zip(self._measured(), other._measured(), strict=True)
        mine, theirs = zip(*(one.exchanged(its, swap) for one, its in pairs), strict=True)
        return self._sum(list(mine)), self._sum(list(theirs))

    def _measured(self) -> list[Measured]:
        return [part.measured for part in self.parts]

    def _sum(self, figures: list[Figures]) -> Figures:
        scaled = [
            part.weight * part.scale(one) for part, one in zip(self.parts, figures, strict=True)
        ]
        return np.asarray(np.sum(scaled, axis=0) + self.constant)

    def _of(self, measured: list[Measured]) -> Self:
        pairs = zip(self.parts, measured, strict=True)
        scored = np.logical_or.reduce([one.scored for one in measured])
        return replace(
            self,
            statistics=np.zeros((len(scored), 0)),
            scored=scored,
            parts=tuple(replace(part, measured=one) for part, one in pairs),
        )


def weighted(name: str, parts: tuple[Part, ...], *, constant: float = 0.0) -> Weighted:
    """`parts` are over the same examples, one at least; more is better."""
    scored = np.logical_or.reduce([part.measured.scored for part in parts])
    signature = "|".join(
        [name, "v1", *(f"{p.weight}*{p.measured.name}[{p.measured.signature}]" for p in parts)]
    )
    nothing = np.zeros((len(scored), 0))
    return Weighted(
        name, signature, nothing, scored, ratio, 1.0, 0.0, parts=parts, constant=constant
    )


def weighted_score(measured: Mapping[str, Measured], weights: Weights) -> Weighted | str:
    """From 0 to 1, or why there is none."""
    missing = [name for name in weights.weighted_score if not _there(measured, name)]
    if missing:
        return f"not measured: {', '.join(missing)}"
    parts = tuple(Part(share, measured[name]) for name, share in weights.weighted_score.items())
    return weighted("weighted_score", parts)


def composite(
    measured: Mapping[str, Measured], weights: Weights, bias: float | None
) -> Weighted | str:
    """From 0 to 1, or why there is none. Bias is the metric of that name; without it `bias`, a mean
    rubric score from 1 to 5, 5 is best, which is taken as given: the interval does not know how
    sure it is."""
    share = {"performance": 0.0, "bias": 0.0, "speed": 0.0, "reliability": 0.0, **weights.composite}
    performance = weighted_score(measured, weights)
    if isinstance(performance, str):
        return performance
    if share["bias"] and bias is None and not _there(measured, "bias"):
        return "bias was not measured"
    if share["speed"] and not _there(measured, "latency_p50_ms"):
        return "latency was not measured"
    parts = [Part(share["performance"], performance)]
    constant = 0.0
    if share["bias"] and _there(measured, "bias"):
        parts.append(Part(share["bias"], measured["bias"]))
    elif share["bias"] and bias is not None:
        low, high = RUBRIC
        constant = share["bias"] * (bias - low) / (high - low)
    if share["speed"]:
        reference = weights.speed_reference_ms
        latency = measured["latency_p50_ms"]
        parts.append(Part(share["speed"], latency, lambda p50: reference / (reference + p50)))
    parts.append(Part(share["reliability"], measured["reliability"]))
    return weighted("composite", tuple(parts), constant=constant)


def _there(measured: Mapping[str, Measured], name: str) -> bool:
    return name in measured and bool(measured[name].scored.any())
