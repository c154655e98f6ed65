"""Several metrics under the same weights: what adds up is summed for all of them in one product.

Weights of ten thousand examples are as large as the memory is slow; read once for each metric they
would take most of the time of a comparison.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model_pipeline.evaluation.measured import Figures, Measured


class Together:
    """Metrics over the same examples."""

    def __init__(self, measured: Sequence[Measured]) -> None:
        self._measured = measured
        self._columns, self._statistics = _stacked(measured)

    def figures(self, weights: NDArray[np.float64]) -> list[Figures]:
        """Each metric's [b], under weights [b, n]."""
        sums = weights @ self._statistics
        found = []
        for one, columns in zip(self._measured, self._columns, strict=True):
            found.append(one.combined(sums[:, columns]) if columns else one.figures(weights))
        return found


class Exchanged:
    """Pairs of the same metric, each of examples that both have scored and no others."""

    def __init__(self, pairs: Sequence[tuple[Measured, Measured]]) -> None:
        self._pairs = pairs
        self._columns, first = _stacked([a for a, _ in pairs])
        _, second = _stacked([b for _, b in pairs])
        self._totals = first.sum(axis=0), second.sum(axis=0)
        self._between = second - first

    def differences(self, swap: NDArray[np.float64]) -> list[Figures]:
        """Each pair's second less its first, [b], where the examples marked by 1 in `swap` [b, n]
        have changed sides."""
        moved = swap @ self._between
        first, second = self._totals[0] + moved, self._totals[1] - moved
        found = []
        for (a, b), columns in zip(self._pairs, self._columns, strict=True):
            if columns:
                found.append(b.combined(second[:, columns]) - a.combined(first[:, columns]))
            else:
                mine, theirs = a.exchanged(b, swap)
                found.append(theirs - mine)
        return found


def _stacked(measured: Sequence[Measured]) -> tuple[list[slice | None], NDArray[np.float64]]:
    """Where each metric's statistics lie in [n, columns]; None for one whose do not add up."""
    columns: list[slice | None] = []
    parts = []
    end = 0
    for one in measured:
        if not one.adds_up:
            columns.append(None)
            continue
        columns.append(slice(end, end + one.statistics.shape[1]))
        end += one.statistics.shape[1]
        parts.append(one.statistics)
    nothing = np.zeros((len(measured[0].scored) if measured else 0, 0))
    return columns, np.hstack(parts) if parts else nothing
