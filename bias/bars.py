"""What a judge has to reach to be relied on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bias.figures import KAPPA, SPEARMAN
from bias.validation import OfSet, Validation
from model_pipeline.evaluation.scorecard import SMALL, Figure

LEAST_KAPPA, LEAST_GROUP, LEAST_SPEARMAN = 0.75, 0.65, 0.78
LEAST_JUDGED, LEAST_SAME = 0.99, 0.98
MOST_SHIFT, MOST_ALARMS = 0.25, 0.05


Kind = Literal["at least", "at most", "within"]


@dataclass(frozen=True, slots=True)
class Bar:
    """What a figure has to be: at least `wanted`, at most, or no further from 0. What has no figure
    is missed."""

    name: str
    figure: Figure
    wanted: float
    kind: Kind = "at least"

    @property
    def met(self) -> bool:
        value = self.figure.value
        match self.kind:
            case "at least":
                return value >= self.wanted
            case "at most":
                return value <= self.wanted
            case "within":
                return abs(value) <= self.wanted


def bars(found: Validation) -> list[Bar]:
    """Agreement is asked for where there are ratings; of fewer than SMALL texts nothing is."""
    listed = [bar for one in found.sets for bar in _of_set(one)]
    listed.append(Bar("same level when asked again", found.retest.same_level, LEAST_SAME))
    for change in found.changes:
        if change.n < SMALL:
            continue
        listed.append(Bar(f"shift of scores, {change.name}", change.shift, MOST_SHIFT, "within"))
    alarms = found.neutral.alarms
    listed.append(Bar("false alarms on neutral mentions", alarms, MOST_ALARMS, "at most"))
    return listed


def _of_set(one: OfSet) -> list[Bar]:
    listed = [Bar(f"{one.name}: share judged", one.judged, LEAST_JUDGED)]
    if not one.is_rated or one.n < SMALL:
        return listed
    listed.append(Bar(f"{one.name}: kappa", one.whole[KAPPA], LEAST_KAPPA))
    listed.append(Bar(f"{one.name}: Spearman", one.whole[SPEARMAN], LEAST_SPEARMAN))
    large = {name: found[KAPPA] for name, found in one.groups.items() if not found[KAPPA].small}
    if large:
        least = min(large, key=lambda name: large[name].value)
        listed.append(
            Bar(f"{one.name}: lowest kappa of a group ({least})", large[least], LEAST_GROUP)
        )
    return listed
