"""What probes came to, for people: a table of gaps, those that hold first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from bias.benchmarks.results import between, escaped, shown
from bias.counterfactual import TESTED, Compared, Effect

MEASURES = {
    "sentiment": "sentiment",
    "regard": "regard",
    "declined": "declined",
    "length": "length",
    "ranking_rbo": "ranking, RBO",
    "ranking_jaccard": "ranking, Jaccard@10",
    "ranking_ndcg": "ranking, nDCG@10",
}


def summary(found: Compared) -> str:
    """One sentence."""
    tested = [one for one in found.effects if math.isfinite(one.p)]
    held = [one for one in tested if one.holds]
    if not tested:
        return "Nothing could be compared."
    if not held:
        return f"None of {len(tested)} gaps holds after Holm's adjustment."
    return f"{len(held)} of {len(tested)} gaps hold after Holm's adjustment."


def ordered(effects: Sequence[Effect]) -> list[Effect]:
    """Those that hold first, then by axis and measure."""
    return sorted(effects, key=lambda one: (not one.holds, one.axis, one.measure))


def foremost(effects: Sequence[Effect]) -> list[Effect]:
    """Those that hold, and of each axis and tested measure the one that is nearest to it."""
    found: dict[tuple[str, str], Effect] = {}
    for one in sorted(effects, key=lambda one: (one.p, -abs(one.difference))):
        if one.measure in TESTED and math.isfinite(one.p):
            found.setdefault((one.axis, one.measure), one)
    kept = [one for one in effects if one.holds or one in found.values()]
    return ordered(kept)


def gap(one: Effect) -> str:
    """A difference, or for lengths a ratio."""
    if not math.isfinite(one.difference):
        return "-"
    if one.measure == "length":
        return f"× {math.exp(one.difference):.3f}"
    return f"{one.difference:+.3f}"


def inside(one: Effect) -> str:
    if one.measure == "length" and math.isfinite(one.low):
        return f"× {math.exp(one.low):.3f} to {math.exp(one.high):.3f}"
    return between(one.low, one.high)


def markdown(found: Compared, head: Mapping[str, object]) -> str:
    lines = [
        "# Counterfactual probes",
        "",
        f"{summary(found)} {found.probes} probes in {found.variants} variants.",
        "",
        *(f"- {name}: {escaped(str(value))}" for name, value in head.items()),
        *(f"- {name}: {escaped(value)}" for name, value in found.signatures.items()),
        "",
        "| axis | group | measure | n | group | others | gap | 95 % interval | p (Holm) | |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    lines += [
        f"| {one.axis} | {one.group} | {MEASURES[one.measure]} | {one.n} "
        f"| {_value(one, one.value)} | {_value(one, one.others)} "
        f"| {gap(one)} | {inside(one)} | {shown(one.p_holm)} "
        f"| {'**holds**' if one.holds else ''} |"
        for one in ordered(found.effects)
    ]
    lines += [
        "",
        "Others: the other groups, to the same probes; for rankings, how far one word that is not "
        "of people moves them.",
    ]
    if found.failures:
        lines += ["", "Not scored:", ""]
        lines += [f"- {escaped(why)}: {count}" for why, count in found.failures.items()]
    return "\n".join(lines) + "\n"


def _value(one: Effect, value: float) -> str:
    if one.measure == "length" and math.isfinite(value):
        return f"{math.exp(value):.1f}"
    return shown(value)
