"""A report for people: a page that needs nothing else, and Markdown for a step's summary.

Both are made from the report's JSON alone. The page holds no script and asks no network, like a
scorecard's, whose parts it is made of.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bias import counterfactual, probe_report
from bias.counterfactual import from_object
from bias.report.figures import Json
from bias.report.report import GAPS, period
from bias.verdicts import LEVELS
from model_pipeline.evaluation import charts, report, wording
from model_pipeline.evaluation.bootstrap import Interval
from model_pipeline.evaluation.scorecard import SMALL

RUBRIC = charts.Scale(float(LEVELS[0]), float(LEVELS[-1]))
ROWS = 20  # of a part in Markdown, which is to be short
PARTS = {
    "group": "Groups that are named",
    "release": "Releases",
    "collection": "Collections",
    "day": "Days",
}
EVERYTHING = "all collections"


@dataclass(frozen=True, slots=True)
class Line:
    """One row: `bar` is the mean with its interval, `levels` how many of each."""

    name: str
    bar: Markup
    mean: str
    between: str
    levels: Markup
    harmful: str
    n: int
    abstained: int
    small: bool


@dataclass(frozen=True, slots=True)
class Effect:
    name: str
    measure: str
    bar: Markup
    difference: str
    between: str
    p_holm: str
    n: int
    note: str


def html(found: Json) -> str:
    probed = from_object(found["probes"]) if found["probes"] else None
    effects = probe_report.foremost(probed.effects) if probed else []
    scale = charts.around_zero([edge for one in effects for edge in (one.low, one.high)])
    return report.page(
        "bias_report.html.j2",
        package="bias.report",
        found=found,
        title=title(found),
        verdict=verdict(found),
        whole=_line("All", found["whole"]),
        axis=charts.axis(RUBRIC),
        parts=[(PARTS[name], [_named(one) for one in found["by"][name]]) for name in PARTS],
        dimensions=[
            (one["value"].capitalize(), levels(one["levels"]), sum(one["levels"]), one["levels"])
            for one in found["dimensions"]
        ],
        trend=[_line(period(one), one["whole"]) for one in found["trend"]],
        tests=[(*_test(one), one["significant"], one["worse"]) for one in found["tests"]],
        probes=probes(found),
        tells=probe_report.TELLS,
        effects=[_effect(one, scale) for one in effects],
        effects_axis=charts.axis(scale),
        failures=[
            (one["name"], one["count"], report.first_ids(one["ids"])) for one in found["failures"]
        ],
        answers=answers(found),
        reviews=reviews(found["reviews"]),
        levels=LEVELS,
        small=SMALL,
    )


def markdown(found: Json) -> str:
    cell = wording.cell
    lines = [
        f"## {title(found)}",
        "",
        f"**{cell(verdict(found), 1_500)}**",
        "",
        f"{answers(found)} {reviews(found['reviews'])} Judge: `{cell(found['judge'], 500)}`.",
        "",
    ]
    if found["failures"]:
        lines += ["| Could not be judged | Count |", "| :-- | --: |"]
        lines += [f"| {cell(one['name'])} | {one['count']:,} |" for one in found["failures"]]
        lines.append("")
    lines += ["| Part | Mean | 95 % interval | Levels 1 and 2 | n | abstained |"]
    lines += ["| :-- | --: | :-- | --: | --: | --: |", _row("All", found["whole"])]
    for name in PARTS:
        rows = [_row(f"{name}: {_value(one)}", one["figure"]) for one in found["by"][name]]
        lines += rows[:ROWS]
        if len(rows) > ROWS:
            lines.append(f"| {len(rows) - ROWS:,} more in the page | | | | | |")
    if found["tests"]:
        lines += ["", "| Change | Of | Difference | 95 % interval | p (Holm) | |"]
        lines += ["| :-- | :-- | --: | :-- | --: | :-- |"]
        for one in found["tests"]:
            told = " | ".join(cell(part) for part in _test(one))
            lines.append(f"| {told} | {_finding(one)} |")
    if found["gaps"]:
        lines += ["", "| Gap | Measure | Difference | 95 % interval | p (Holm) |"]
        lines += ["| :-- | :-- | --: | :-- | --: |"]
        for one in from_object(found["probes"]).effects:
            if one.holds and one.measure in GAPS:
                told = " | ".join(cell(part) for part in _gap(one))
                lines.append(f"| {told} |")
    if told := probes(found):
        lines += ["", f"Probes: {cell(told, 1_000)}"]
    return "\n".join([*lines, ""])


def title(found: Json) -> str:
    return f"Bias report, {period(found)}"


def verdict(found: Json) -> str:
    told = [f"{one['of']} is worse, {one['what']}" for one in found["declines"]]
    told += [f"{one['measure']} differs for {one['group']}" for one in found["gaps"]]
    if told:
        return wording.cut(f"{wording.count(len(told), 'alarm')}: {'; '.join(told)}.")
    n = found["whole"]["n"]
    if not found["answers"]["given"]:
        return "Nothing was answered in these days."
    if not n:
        return "There is no answer that the judge is sure of: nothing can be said."
    if n < SMALL:
        return f"{wording.count(n, 'answer')} are too few to tell: that takes {SMALL}."
    return "No decline and no gap is shown."


def answers(found: Json) -> str:
    """How many there are, and what became of them, in a sentence or two."""
    of, count = found["answers"], wording.count
    failed = sum(one["count"] for one in found["failures"])
    return (
        f"{count(of['given'], 'answer')}, {of['declined']:,} of them declined and "
        f"{of['withheld']:,} withheld. {of['judged']:,} of {of['chosen']:,} chosen ones judged, "
        f"{failed:,} could not be; the judge abstains from {of['abstained']:,}."
    )


def reviews(found: Json) -> str:
    if not found["n"]:
        return "No verdict was reviewed."
    reviewed = wording.count(found["n"], "verdict")
    return (
        f"People reviewed {reviewed}: {found['confirmed']:,} confirmed, "
        f"{found['within_one']:,} within one level, on average "
        f"{wording.signed('', found['higher'])} levels."
    )


def probes(found: Json) -> str:
    if not found["probes"]:
        return ""
    probed = from_object(found["probes"])
    return f"{probe_report.summary(probed)} {probe_report.asked(probed)}"


def levels(counts: Sequence[int]) -> Markup:
    told = ", ".join(
        f"{many:,} of level {level}" for level, many in zip(LEVELS, counts, strict=True)
    )
    parts = [(f"level-{level}", many) for level, many in zip(LEVELS, counts, strict=True)]
    return charts.shares(parts, says=told)


def _named(one: Json) -> Line:
    return _line(_value(one), one["figure"])


def _value(one: Json) -> str:
    return one["value"] or EVERYTHING


def _line(name: str, figure: Json) -> Line:
    mean, low, high = (_float(figure[key]) for key in ("mean", "low", "high"))
    small = figure["n"] < SMALL
    text, between = wording.number("", mean), wording.between("", Interval(low, high))
    name = wording.cut(name, 60)
    says = f"{name}: {text}, {between}, of {figure['n']}"
    return Line(
        name,
        charts.bar(RUBRIC, mean, low, high, says=says, tone="small" if small else ""),
        text,
        between,
        levels(figure["levels"]),
        _share(figure),
        figure["n"],
        figure["abstained"],
        small,
    )


def _row(name: str, figure: Json) -> str:
    mean, low, high = (_float(figure[key]) for key in ("mean", "low", "high"))
    return (
        f"| {wording.cell(name)} | {wording.number('', mean)} "
        f"| {wording.between('', Interval(low, high))} | {_share(figure)} | {figure['n']:,} "
        f"| {figure['abstained']:,} |"
    )


def _share(figure: Json) -> str:
    if figure["harmful"] is None:
        return wording.NONE
    low, high = figure["harmful_low"], figure["harmful_high"]
    return f"{figure['harmful']:.1%} ({low:.1%} to {high:.1%})"


def _test(one: Json) -> tuple[str, str, str, str, str]:
    difference, low, high = (_float(one[key]) for key in ("difference", "low", "high"))
    return (
        wording.cut(one["what"], 120),
        one["of"],
        wording.signed("", difference),
        wording.between_signed("", Interval(low, high)),
        wording.chance(_float(one["p_holm"])),
    )


def _finding(one: Json) -> str:
    if one["p"] is None:
        return "too few answers"
    if not one["significant"]:
        return "no change shown"
    return "worse" if one["worse"] else "better"


def _gap(one: counterfactual.Effect) -> tuple[str, str, str, str, str]:
    return (
        wording.cut(f"{one.axis}: {one.group}", 60),
        probe_report.MEASURES[one.measure],
        probe_report.gap(one),
        probe_report.inside(one),
        wording.chance(one.p_holm),
    )


def _effect(one: counterfactual.Effect, scale: charts.Scale) -> Effect:
    name, measure, difference, between, p_holm = _gap(one)
    says = f"{name}, {measure}: {difference}, {between}, of {one.n}"
    tone = "bad" if one.holds else "flat"
    bar = charts.bar(scale, one.difference, one.low, one.high, says=says, tone=tone)
    return Effect(
        name, measure, bar, difference, between, p_holm, one.n, probe_report.note(one)
    )  # fmt: skip


def _float(value: float | None) -> float:
    return math.nan if value is None else value
