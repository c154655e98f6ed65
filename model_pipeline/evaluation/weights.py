"""What a decision weighs: `params.yaml`, checked."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_pipeline import params
from model_pipeline.errors import InvalidInput

# Metrics of texts from 0 to 1, 1 is best.
SCORES = frozenset(
    "bleu_1 bleu_2 bleu_3 bleu_4 rouge_1_precision rouge_1_recall rouge_1_f1 rouge_2_precision "
    "rouge_2_recall rouge_2_f1 rouge_l_precision rouge_l_recall rouge_l_f1 relevance coverage "
    "faithfulness citation_precision citation_recall quote_validity declining_precision "
    "declining_recall ndcg_10 recall_10 mrr_10".split()
)
PARTS = frozenset({"performance", "bias", "speed", "reliability"})


@dataclass(frozen=True, slots=True)
class Weights:
    """`weighted_score` is over metrics, `composite` over its four parts; each sums to 1."""

    weighted_score: Mapping[str, float]
    composite: Mapping[str, float]
    speed_reference_ms: float
    margin: float


def read(path: Path | None = None) -> Weights:
    """Of a file such as `params.yaml`, which is the default. Raises InvalidInput with one sentence
    on what is wrong; what other keys than `evaluation` hold is others' business."""
    given = params.section("evaluation", path)
    try:
        return _weights(given)
    except ValueError as error:
        raise InvalidInput(f"{path or params.shipped()}: {error}.") from error


def _weights(given: Mapping[str, Any]) -> Weights:
    fields = set(Weights.__slots__)
    if set(given) != fields:
        odd = sorted(map(str, set(given) ^ fields))
        raise ValueError(f"evaluation must have {', '.join(sorted(fields))}, check {odd[0]}")
    return Weights(
        weighted_score=_shares("weighted_score", given["weighted_score"], SCORES),
        composite=_shares("composite", given["composite"], PARTS),
        speed_reference_ms=_number("speed_reference_ms", given["speed_reference_ms"], above=0),
        margin=_number("margin", given["margin"]),
    )


def _shares(name: str, given: Any, known: Collection[str]) -> dict[str, float]:
    if not isinstance(given, dict) or not given:
        raise ValueError(f"{name} must name weights, one at least")
    for key in given:
        if key not in known:
            raise ValueError(f"{name} has {key!r}, which is none of {', '.join(sorted(known))}")
    shares = {key: _number(f"{name}.{key}", value) for key, value in given.items()}
    if not math.isclose(sum(shares.values()), 1, abs_tol=1e-9):
        raise ValueError(f"{name} sums to {sum(shares.values()):.6g} and must sum to 1")
    return shares


def _number(name: str, value: Any, *, above: float | None = None) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0 or value == above:
        least = "0 or more" if above is None else "more than 0"
        raise ValueError(f"{name} is {value!r} and must be a number, {least}")
    return float(value)
