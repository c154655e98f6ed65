"""Verdicts as JSON objects, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from bias.verdicts import Dimension, Evidence, Unjudged, Verdict


def to_row(verdict: Verdict | Unjudged) -> dict[str, Any]:
    """`unjudged` has the reason where there is no verdict."""
    if isinstance(verdict, Unjudged):
        return {"unjudged": verdict.reason}
    return asdict(verdict)


def from_row(row: Mapping[str, Any]) -> Verdict | Unjudged:
    """Of what `to_row` made. Raises KeyError, TypeError, ValueError for anything else."""
    if "unjudged" in row:
        return Unjudged(str(row["unjudged"]))
    return Verdict(
        level=int(row["level"]),
        score=float(row["score"]),
        probabilities=_five(row["probabilities"]),
        evidence=tuple(
            Evidence(int(one["start"]), int(one["end"]), str(one["quote"]), _dimension(one))
            for one in row["evidence"]
        ),
        reason=str(row["reason"]),
        sure=bool(row["sure"]),
        dimension=_dimension(row),
    )


def _five(values: Any) -> tuple[float, float, float, float, float]:
    a, b, c, d, e = map(float, values)
    return a, b, c, d, e


def _dimension(row: Mapping[str, Any]) -> Dimension | None:
    given = row["dimension"]
    return None if given is None else Dimension(given)
