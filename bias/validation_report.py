"""A Validation for people and programs: tables that the terminal, Markdown and a page share, and
JSON. The page holds no script and asks no network, as evaluation's do."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from markupsafe import Markup

from bias.bars import Bar, Kind, bars
from bias.calibration import Calibration
from bias.figures import ABSOLUTE, ALARMS, AUC, KAPPA, SIGNED, SPEARMAN, WITHIN_ONE
from bias.validation import Figured, OfSet, Validation
from model_pipeline.evaluation import charts, wording
from model_pipeline.evaluation.charts import SHARE, Scale
from model_pipeline.evaluation.report import page
from model_pipeline.evaluation.scorecard import SMALL, Figure

LABELS = {
    KAPPA: "kappa (quadratic weights)",
    SPEARMAN: "Spearman's rho",
    WITHIN_ONE: "within one level",
    SIGNED: "signed error, in levels",
    ABSOLUTE: "absolute error, in levels",
    ALARMS: "false alarms on fair texts",
    AUC: "area under the ROC curve",
    "sure": "share that the judge is sure of",
}
SHORT = {
    KAPPA: "kappa",
    SPEARMAN: "rho",
    AUC: "AUC",
    WITHIN_ONE: "within 1",
    SIGNED: "signed error",
    ALARMS: "false alarms",
}
ERROR = Scale(-2.0, 2.0, zero=0.0)
SCALES = {SIGNED: ERROR, ABSOLUTE: ERROR, KAPPA: SHARE, SPEARMAN: SHARE}
SIGNS: dict[Kind, str] = {"at least": "≥", "at most": "≤", "within": "±"}
IN_GROUPS = (KAPPA, SPEARMAN, AUC, WITHIN_ONE, SIGNED, ALARMS)


@dataclass(frozen=True, slots=True)
class Table:
    """Texts by row; `plots` are beside the first column, or there are none."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    plots: tuple[Markup, ...] = ()
    scale: Scale = SHARE
    lead: str = ""
    is_detail: bool = False
    """A terminal shows what leads to it alone."""


def as_object(found: Validation) -> dict[str, Any]:
    """For JSON: what is no number is None."""
    listed = bars(found)
    plain = json.loads(json.dumps(asdict(found)), parse_constant=lambda _: None)
    plain["bars"] = [
        {
            "name": one.name,
            "value": _number(one.figure.value),
            "low": _number(one.figure.interval.low),
            "high": _number(one.figure.interval.high),
            "n": one.figure.n,
            one.kind.replace(" ", "_"): one.wanted,
            "met": one.met,
        }
        for one in listed
    ]
    return {"met": all(one.met for one in listed), **plain}


def markdown(found: Validation) -> str:
    lines = ["## Validation of a judge of bias", "", headline(found), ""]
    lines += [f"Judge `{_code(found.signature)}`, `{found.rubric}`, intervals of 95 %.", ""]
    for table in tables(found):
        lines += [f"### {wording.cell(table.title)}", ""]
        lines += [table.lead, ""] if table.lead else []
        lines += [f"| {' | '.join(table.heads)} |", "| :-- |" + " --: |" * (len(table.heads) - 1)]
        lines += [f"| {' | '.join(wording.cell(one) for one in row)} |" for row in table.rows]
        lines.append("")
    return "\n".join(lines)


def html(found: Validation) -> str:
    return page(
        "validation.html.j2",
        package="bias",
        found=found,
        headline=headline(found),
        met=all(one.met for one in bars(found)),
        tables=[(one, charts.axis(one.scale, ticks=3)) for one in tables(found)],
        sets=[one for one in found.sets if one.worst],
        alarms=found.neutral.worst,
        small=SMALL,
    )


def headline(found: Validation) -> str:
    missed = [one.name for one in bars(found) if not one.met]
    told = f"{wording.count(len(missed), 'bar')} missed: {', '.join(missed)}."
    if not missed:
        told = "All bars are met."
    if not any(one.is_rated and one.n >= SMALL for one in found.sets):
        told += f" None is of agreement with people: that takes ratings of {SMALL} texts."
    return told


def tables(found: Validation) -> list[Table]:
    listed = [_bars(bars(found))]
    for one in found.sets:
        listed += _of_set(one)
    if found.left_out is not None:
        listed.append(_figures("Groups left out of training, together", found.left_out.together))
        listed.append(
            _groups("Each group by a judge trained without it", found.left_out.groups, KAPPA)
        )
    listed += [_retest(found), _changes(found), _neutral(found)]
    return [one for one in listed if one.rows]


def _bars(listed: Sequence[Bar]) -> Table:
    rows = [
        (
            one.name,
            _shown(one.figure.value),
            _between(one.figure),
            f"{SIGNS[one.kind]} {one.wanted:g}",
            "met" if one.met else "MISSED",
        )
        for one in listed
    ]
    return Table("Bars", ("", "figure", "95 % interval", "bar", ""), tuple(rows))


def _of_set(one: OfSet) -> Iterator[Table]:
    failed = "; ".join(f"{reason}: {many}" for reason, many in one.failures.items())
    lead = f"{wording.count(one.n, 'text')}, {one.harmful:,} of them harmful to people."
    lead += f" Not judged: {failed}." if failed else ""
    yield _figures(one.name, one.whole, lead=lead)
    if one.n < SMALL:
        return
    yield _groups(f"{one.name}, by group", one.groups, KAPPA if one.is_rated else AUC)
    yield _figures(f"{one.name}, where the judge is sure", one.sure, without=("sure",))
    yield _calibration(f"{one.name}: is the chance of level 2 or less right?", one.harm)
    if one.level is not None:
        yield _calibration(f"{one.name}: is the chance of the likeliest level right?", one.level)
    rows = [(f"{c.coverage:.0%}", f"{c.n:,}", _shown(c.risk), f"{c.far:.1%}") for c in one.covered]
    risk = "mean distance from the rating" if one.is_rated else "wrong side of level 3"
    far = "over a level off" if one.is_rated else "the same"
    yield Table(f"{one.name}: the surest part alone", ("coverage", "n", risk, far), tuple(rows))


def _figures(title: str, figured: Figured, *, lead: str = "", without: Sequence[str] = ()) -> Table:
    rows = [
        (label(name), _shown(figure.value), _between(figure), f"{figure.n:,}")
        for name, figure in figured.items()
        if name not in without
    ]
    plots = [
        _plot(label(name), figure, SHARE) if SCALES.get(name, SHARE) is SHARE else Markup("")
        for name, figure in figured.items()
        if name not in without
    ]
    return Table(title, ("", "figure", "95 % interval", "n"), tuple(rows), tuple(plots), lead=lead)


def _groups(title: str, groups: Mapping[str, Figured], first: str) -> Table:
    names = [name for name in IN_GROUPS if any(name in figured for figured in groups.values())]
    names.sort(key=lambda name: name != first)
    heads = ("group", *(SHORT[name] for name in names[:1]), "95 % interval",
             *(SHORT[name] for name in names[1:]), "n")  # fmt: skip
    rows = [
        (
            group,
            _shown(figured[first].value),
            _between(figured[first]),
            *(_shown(figured[name].value) for name in names[1:]),
            f"{figured[first].n:,}" + (" (few)" if figured[first].small else ""),
        )
        for group, figured in groups.items()
    ]
    plots = [_plot(group, figured[first], SHARE) for group, figured in groups.items()]
    lead = "Above 0, a signed error is of a judge that is milder than people."
    return Table(title, heads, tuple(rows), tuple(plots), lead=lead * (SIGNED in names))


def _calibration(title: str, found: Calibration) -> Table:
    rows = [(_shown(one.foretold), _shown(one.held), f"{one.n:,}") for one in found.bins]
    plots = [
        charts.bar(
            SHARE, one.held, min(one.held, one.foretold), max(one.held, one.foretold),
            says=f"foretold {one.foretold:.2f}, held {one.held:.2f}",
        )
        for one in found.bins
    ]  # fmt: skip
    lead = f"Expected calibration error {_shown(found.error)}."
    heads = ("foretold", "held", "n")
    return Table(title, heads, tuple(rows), tuple(plots), lead=lead, is_detail=True)


def _retest(found: Validation) -> Table:
    one = found.retest
    rows = (
        ("same level", _shown(one.same_level.value), _between(one.same_level)),
        ("kappa with the first time", _shown(one.kappa.value), _between(one.kappa)),
        ("largest change of a score", _shown(one.most), ""),
    )
    lead = f"{wording.count(one.n, 'text')} in another order."
    return Table("Asked again", ("", "figure", "95 % interval"), rows, lead=lead)


def _changes(found: Validation) -> Table:
    rows = [
        (
            one.name,
            wording.signed("", one.shift.value),
            wording.between_signed("", one.shift.interval),
            _shown(one.jumps.value),
            f"{one.shift.n:,}",
        )
        for one in found.changes
    ]
    plots = [_plot(one.name, one.shift, ERROR) for one in found.changes]
    heads = ("", "mean shift, in levels", "95 % interval", "share moved by two levels", "n")
    lead = "By how much scores move; above 0 the changed text is fairer to the judge."
    return Table("Changes that must not matter", heads, tuple(rows), tuple(plots), ERROR, lead)


def _neutral(found: Validation) -> Table:
    one = found.neutral
    listed = {"all": one.alarms, **one.groups}
    rows = [(name, _shown(f.value), _between(f), f"{f.n:,}") for name, f in listed.items()]
    plots = [_plot(name, f, SHARE) for name, f in listed.items()]
    failed = "; ".join(f"{reason}: {many}" for reason, many in one.failures.items())
    lead = (
        "Statements that name a group and say nothing against it. "
        f"Mean score {_shown(one.score.value)} of 5."
    ) + (f" Not judged: {failed}." * bool(failed))
    heads = ("group", "level 2 or less", "95 % interval", "n")
    return Table("False alarms on neutral mentions", heads, tuple(rows), tuple(plots), lead=lead)


def label(name: str) -> str:
    return LABELS.get(name, name.replace("_", " ").replace(" at ", " at level "))


def _plot(name: str, figure: Figure, scale: Scale) -> Markup:
    says = f"{name}: {_shown(figure.value)}, {_between(figure)}, of {figure.n}"
    low, high = figure.interval.low, figure.interval.high
    return charts.bar(scale, figure.value, low, high, says=says, tone="small" * figure.small)


def _shown(value: float) -> str:
    return wording.NONE if math.isnan(value) else f"{value:.3f}".replace("-", wording.MINUS)


def _between(figure: Figure) -> str:
    interval = figure.interval
    if math.isnan(interval.low):
        return wording.NONE
    return f"{_shown(interval.low)} to {_shown(interval.high)}"


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _code(text: str) -> str:
    return wording.cut(text, 300).replace("`", "'")
