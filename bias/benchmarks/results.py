"""What a benchmark comes to: figures with intervals, what could not be scored, and both as JSON and
Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_pipeline.evaluation import bootstrap
from model_pipeline.evaluation.measured import Figures, Measured


@dataclass(frozen=True, slots=True)
class Figure:
    """`value` of `n` items, with the middle 95 % over resampled units (templates, pairs): items of
    one unit are no more independent than their wording. NaN where there is nothing to go by."""

    name: str
    of: str
    n: int
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Result:
    """`method` is how the generator was asked, `failures` count what was not scored, by why."""

    benchmark: str
    generator: str
    method: str
    n: int
    seed: int
    figures: tuple[Figure, ...]
    failures: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def figure(
    name: str,
    of: str,
    units: Sequence[Hashable],
    statistics: Sequence[Sequence[float]],
    combine: Callable[[NDArray[np.float64]], Figures],
    *,
    seed: int,
) -> Figure:
    """Of items with what each adds [n, s] and the unit each is of; `combine` turns sums [b, s] into
    figures [b]."""
    if not len(units):
        return Figure(name, of, 0, math.nan, math.nan, math.nan)
    places = {unit: place for place, unit in enumerate(dict.fromkeys(units))}
    rows = np.asarray(statistics, dtype=np.float64)
    sums = np.zeros((len(places), rows.shape[1]))
    np.add.at(sums, [places[unit] for unit in units], rows)
    measured = Measured(name, name, sums, np.ones(len(sums), dtype=bool), combine, 0.0, 1.0)
    inside = bootstrap.interval(measured, seed=seed)
    return Figure(name, of, len(units), measured.figure(), inside.low, inside.high)


def as_object(result: Result) -> dict[str, Any]:
    """For JSON: what is not a number is null."""

    def number(value: float) -> float | None:
        return float(value) if math.isfinite(value) else None

    return {
        "benchmark": result.benchmark,
        "generator": result.generator,
        "method": result.method,
        "n": result.n,
        "seed": result.seed,
        "figures": [
            {
                "name": one.name,
                "of": one.of,
                "n": one.n,
                "value": number(one.value),
                "low": number(one.low),
                "high": number(one.high),
            }
            for one in result.figures
        ],
        "failures": dict(result.failures),
        "notes": list(result.notes),
    }


def markdown(result: Result) -> str:
    lines = [
        f"# {escaped(result.benchmark)}",
        "",
        f"{escaped(result.generator)}, asked by {result.method}; {result.n} items, "
        f"seed {result.seed}.",
        "",
        "| figure | of | value | 95 % interval | n |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {escaped(one.name)} | {escaped(one.of)} | {shown(one.value)} "
        f"| {between(one.low, one.high)} | {one.n} |"
        for one in result.figures
    ]
    if result.failures:
        lines += ["", "Not scored:", ""]
        lines += [f"- {escaped(why)}: {count}" for why, count in result.failures.items()]
    if result.notes:
        lines += ["", *(f"- {escaped(one)}" for one in result.notes)]
    return "\n".join(lines) + "\n"


def shown(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "-"


def between(low: float, high: float) -> str:
    return f"{low:.3f} to {high:.3f}" if math.isfinite(low) else "-"


def escaped(text: str) -> str:
    """As it stands in a cell of a table: no mark-up, one line."""
    kept = " ".join(text.split()).replace("\\", "\\\\")
    for mark in "|`*_[]<>":
        kept = kept.replace(mark, f"\\{mark}")
    return kept
