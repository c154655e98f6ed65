"""Plots as SVG: no script, sharp on paper, the same bytes for the same figures.

Places are in percent of a plot's width, so that it takes the room it gets and dots stay round.
Colours are classes of `report.css`, which knows light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

BINS = 20
TICKS = 5


@dataclass(frozen=True, slots=True)
class Scale:
    """What the two ends of a plot stand for. `zero` is where a line is drawn, if within."""

    low: float
    high: float
    zero: float | None = None

    def place(self, value: float) -> float:
        """In percent, ends kept free for the dots that lie on them."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return 1 + 98 * share

    def ticks(self, many: int = TICKS) -> list[float]:
        return [float(tick) for tick in np.linspace(self.low, self.high, many)]


SHARE = Scale(0.0, 1.0)


def around_zero(values: Sequence[float]) -> Scale:
    """From -m to m, where m is a round number beyond all `values`."""
    most = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    steps = (0.02, 0.04, 0.1, 0.2, 0.4, 1.0)
    edge = next((step for step in steps if most <= step), most)
    return Scale(-edge, edge, zero=0.0)


def bar(
    scale: Scale, value: float, low: float, high: float, *, says: str, tone: str = ""
) -> Markup:
    """A dot with its interval. `says` is read aloud and shown on hovering; `tone` is a class."""
    parts = [_grid(scale)]
    if math.isfinite(value):
        if math.isfinite(low):
            ends = (scale.place(low), scale.place(high))
            parts.append(
                Markup('<line class="interval" x1="{:.2f}%" x2="{:.2f}%" y1="14" y2="14"/>').format(
                    *ends
                )
            )
        parts.append(
            Markup('<circle class="dot" cx="{:.2f}%" cy="14" r="4.5"/>').format(scale.place(value))
        )
    else:
        parts.append(Markup('<text class="none" x="1%" y="18">no figure</text>'))
    return Markup(
        '<svg class="bar {}" role="img" aria-label="{}" height="28"><title>{}</title>{}</svg>'
    ).format(tone, says, says, Markup("").join(parts))


def axis(scale: Scale, *, ticks: int = TICKS) -> Markup:
    """The numbers that belong above a column of bars."""
    texts = []
    for tick in scale.ticks(ticks):
        text = f"{tick:+.3g}" if scale.zero is not None and tick else _number(tick)
        texts.append(
            Markup('<text x="{:.2f}%" y="12">{}</text>').format(
                scale.place(tick), text.replace("-", "−")
            )
        )
    return Markup('<svg class="axis" aria-hidden="true" height="16">{}</svg>').format(
        Markup("").join(texts)
    )


def histogram(values: NDArray[np.float64], scale: Scale, mean: float, *, says: str) -> Markup:
    """How many of `values` [n] (NaN is left out) lie where, and a line at the figure of all."""
    finite = values[np.isfinite(values)]
    inside = np.clip(finite, scale.low, scale.high)
    counts, _ = np.histogram(inside, bins=BINS, range=(scale.low, scale.high))
    most = max(int(counts.max(initial=0)), 1)
    width = 98 / BINS
    bars = []
    for index, many in enumerate(counts):
        height = 70 * int(many) / most
        bars.append(
            Markup(
                '<rect x="{:.2f}%" width="{:.2f}%" y="{:.2f}" height="{:.2f}">'
                "<title>{}</title></rect>"
            ).format(
                1 + index * width + 0.3,
                width - 0.6,
                80 - height,
                height,
                _bin(scale, index, int(many)),
            )
        )
    line = Markup("")
    if math.isfinite(mean):
        line = Markup('<line class="mean" x1="{0:.2f}%" x2="{0:.2f}%" y1="4" y2="80"/>').format(
            scale.place(mean)
        )
    base = Markup('<line class="base" x1="1%" x2="99%" y1="80" y2="80"/>')
    return Markup(
        '<svg class="histogram" role="img" aria-label="{}" height="82">{}{}{}</svg>'
    ).format(says, Markup("").join(bars), base, line)


def shares(parts: Sequence[tuple[str, int]], *, says: str) -> Markup:
    """One row cut into parts: (class, how many)."""
    total = max(sum(many for _, many in parts), 1)
    rects, start = [], 0.0
    for name, many in parts:
        width = 100 * many / total
        rects.append(
            Markup('<rect class="{}" x="{:.2f}%" width="{:.2f}%" height="10"/>').format(
                name, start, width
            )
        )
        start += width
    return Markup('<svg class="shares" role="img" aria-label="{}" height="10">{}</svg>').format(
        says, Markup("").join(rects)
    )


def _number(tick: float) -> str:
    return f"{tick:,.0f}" if tick >= 1_000 else f"{tick:.3g}"


def _grid(scale: Scale) -> Markup:
    lines = [
        Markup('<line class="{}" x1="{:.2f}%" x2="{:.2f}%" y1="0" y2="28"/>').format(
            "zero" if tick == scale.zero else "grid", scale.place(tick), scale.place(tick)
        )
        for tick in scale.ticks()
    ]
    return Markup("").join(lines)


def _bin(scale: Scale, index: int, many: int) -> str:
    step = (scale.high - scale.low) / BINS
    low = scale.low + index * step
    return f"{low:.3g} to {low + step:.3g}: {many:,}"
