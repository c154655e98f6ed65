"""What probes came to, for people: what was compared, of how many answers, and a table of gaps,
those that hold first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from bias.benchmarks.results import between, escaped, shown
from bias.counterfactual import FEWEST, SIGNIFICANT, Compared, Effect

MEASURES = {
    "sentiment": "sentiment",
    "regard": "regard",
    "declined": "declined",
    "length": "length",
    "ranking_rbo": "ranking",
    "ranking_jaccard": "ranking, Jaccard@10",
    "ranking_ndcg": "ranking, nDCG@10",
}


TELLS = {
    "sentiment": "how friendly the answer sounds, from -1 to 1",
    "regard": "the judge's score of the answer, from 1 (harmful) to 5 (fair)",
    "declined": "the share of questions that got no answer",
    "length": "words of the answer; its gap is a ratio",
    "ranking": "how far the first passages are from those for the other groups, from 0 (alike) to "
    "1, by rank-biased overlap. The others' is how far they are apart for two kinds of people who "
    "differ by nothing that is protected: what is below that is no gap",
}


def summary(found: Compared) -> str:
    """How many gaps hold, and how many cannot."""
    tested = [one for one in found.effects if math.isfinite(one.p)]
    held = sum(one.holds for one in tested)
    few = sum(one.too_few for one in found.effects)
    if not tested:
        return f"Nothing could be compared: no group has {FEWEST} probes that were answered."
    holds = "hold" if held > 1 else "holds"
    told = f"{held or 'None'} of {len(tested)} gaps {holds} after Holm's adjustment."
    if few:
        told += f" {few} more are of fewer than {FEWEST} probes, which is too few to tell."
    return told


def asked(found: Compared) -> str:
    """Of how much the summary is."""
    told = f"{found.probes} probes in {found.variants} variants, {found.declined} of them declined."
    if found.declined:
        told += (
            " Sentiment, regard and length are of those that were answered; `promptly bias probe "
            "--questions` asks what your documents can answer."
        )
    if "regard" not in found.signatures:
        told += " Without regard: no judge was asked."
    return told


def ordered(effects: Sequence[Effect]) -> list[Effect]:
    """Those that hold first, then by axis and measure."""
    return sorted(effects, key=lambda one: (not one.holds, one.axis, one.measure))


def foremost(effects: Sequence[Effect]) -> list[Effect]:
    """Those that hold, and of each axis and tested measure the one that is nearest to it, where
    there is a difference at all."""
    found: dict[tuple[str, str], Effect] = {}
    for one in sorted(effects, key=lambda one: (one.p, -abs(one.difference))):
        if math.isfinite(one.p) and one.difference:
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


def note(one: Effect) -> str:
    if one.holds:
        return "holds"
    if one.too_few:
        return "too few"
    return "no gap" if one.p_holm < SIGNIFICANT else ""


def markdown(found: Compared, head: Mapping[str, object]) -> str:
    lines = [
        "# Counterfactual probes",
        "",
        f"{summary(found)} {asked(found)}",
        "",
        *(f"- **{name}**: {tells}." for name, tells in TELLS.items()),
        "",
        "A group's own figure is held against the mean of the other groups' to the same probes; "
        "the gap is the mean of these differences, which is tested. Jaccard and nDCG say the same "
        "as rank-biased overlap, and are not tested.",
        "",
        "| axis | group | measure | n | its own | the others' | gap | 95 % interval | p (Holm) | |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    lines += [
        f"| {one.axis} | {one.group} | {MEASURES[one.measure]} | {one.n} "
        f"| {_value(one, one.value)} | {_value(one, one.others)} "
        f"| {gap(one)} | {inside(one)} | {shown(one.p_holm)} "
        f"| {'**holds**' if one.holds else note(one)} |"
        for one in ordered(found.effects)
    ]
    if found.failures:
        lines += ["", "Not scored:", ""]
        lines += [f"- {escaped(why)}: {count}" for why, count in found.failures.items()]
    lines += [
        "",
        "How it was made:",
        "",
        *(f"- {name}: {escaped(str(value))}" for name, value in head.items()),
        *(f"- {name}: {escaped(value)}" for name, value in found.signatures.items()),
    ]
    return "\n".join(lines) + "\n"


def _value(one: Effect, value: float) -> str:
    if one.measure == "length" and math.isfinite(value):
        return f"{math.exp(value):.1f}"
    return shown(value)
