"""A Comparison as a page (report.py says how), as Markdown, and for JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from model_pipeline.evaluation import charts, report, wording
from model_pipeline.evaluation.charts import Scale
from model_pipeline.evaluation.compared import Compared
from model_pipeline.evaluation.comparison import Comparison, Score
from model_pipeline.evaluation.scorecard import SMALL, Row, Scorecard

TONES = {"better": "good", "worse": "bad", "no difference shown": "flat"}
TEST = (
    "B less A over the examples that both scored, with the paired bootstrap interval (95 %); p of "
    "the randomisation test, adjusted by Holm over the family of all metrics in this table"
)
SLICES_TEST = "p is adjusted by Holm over the family of all rows of this table, all slices together"


@dataclass(frozen=True, slots=True)
class Compare:
    """One metric as a row: texts, and the plots drawn."""

    name: str
    a: str
    b: str
    difference: str
    between: str
    p: str
    p_holm: str
    effect: str
    n: int
    direction: str
    tone: str
    plot: Markup | None
    wins: int
    losses: int
    ties: int
    shares: Markup


@dataclass(frozen=True, slots=True)
class Sliced:
    """A part of the test set with its metrics; `size` says how many examples, and if they are
    few."""

    by: str
    value: str
    size: str
    metrics: list[Compare]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A weighted sum in words: `sentence` says what it shows, or why there is none."""

    name: str
    sentence: str
    a: str
    b: str
    between: str
    finding: str
    tone: str
    parts: str


@dataclass(frozen=True, slots=True)
class Beside:
    """An example and what both answered."""

    a: Row
    b: Row
    value_a: str
    value_b: str


def html(found: Comparison) -> str:
    by = _ordering(found)
    return report.page(
        "comparison.html.j2",
        found=found,
        a=found.a,
        b=found.b,
        verdicts=verdicts(found),
        beside=_beside(found),
        metrics=rows(found),
        directions=_directions(found.metrics),
        sliced=sliced(found),
        slice_directions=_directions([m for one in found.slices for m in one.metrics]),
        slices_test=SLICES_TEST,
        small=SMALL,
        axis=charts.axis(_scale(found.metrics)),
        slices_axis=charts.axis(
            _scale([metric for one in found.slices for metric in one.metrics]), ticks=3
        ),
        failures=[(card.release_id, report.counts(card.failures())) for card in (found.a, found.b)],
        ordering=wording.label(by.name) if by else None,
        best=_examples(found, by, by.best) if by else [],
        worst=_examples(found, by, by.worst) if by else [],
        only=[wording.label(name) for name in found.only],
        test=TEST,
    )


def markdown(found: Comparison) -> str:
    cell = wording.cell
    lines = [
        f"## Comparison: {cell(found.a.release_id)} (A) and {cell(found.b.release_id)} (B)",
        "",
        f"{wording.count(len(found.a.rows), 'example')} of {cell(found.a.test_set)} "
        f"(`{found.a.test_set_hash[:12]}`). Failures: {_failed(found.a)} in A, "
        f"{_failed(found.b)} in B.",
        "",
        *(f"- **{one.name}**: {one.sentence}" for one in verdicts(found)),
        *(f"- {sentence}" for sentence in [_beside(found)] if sentence),
        "",
        "| Metric | A | B | B − A | 95 % interval | p (Holm) | Effect | Won / tied / lost | |",
        "| :-- | --: | --: | --: | :-- | --: | --: | :-: | :-- |",
    ]
    for one in rows(found):
        strong = f"**{one.direction}**" if one.tone in ("good", "bad") else one.direction
        lines.append(
            f"| {one.name} | {one.a} | {one.b} | {one.difference} | {one.between} | {one.p_holm} "
            f"| {one.effect} | {one.wins} / {one.ties} / {one.losses} | {strong} |"
        )
    only = ", ".join(wording.label(name) for name in found.only)
    lines += ["", f"{TEST}.", *([f"Only one of both has {only}."] if only else [])]
    return "\n".join([*lines, *_slices_markdown(found), ""])


def _slices_markdown(found: Comparison) -> list[str]:
    if not found.slices:
        return []
    cell = wording.cell
    lines = [
        "",
        "| Slice | n | Metric | scored | A | B | B − A | 95 % interval | p (Holm) | |",
        "| :-- | --: | :-- | --: | --: | --: | --: | :-- | --: | :-- |",
    ]
    for one in sliced(found):
        for number, row in enumerate(one.metrics):
            first = "" if number else f"{cell(one.by)}: {cell(one.value)} | {one.size}"
            strong = f"**{row.direction}**" if row.tone in ("good", "bad") else row.direction
            lines.append(
                f"| {first or ' | '} | {row.name} | {row.n} | {row.a} | {row.b} "
                f"| {row.difference} | {row.between} | {row.p_holm} | {strong} |"
            )
    return [*lines, "", f"In the slices {SLICES_TEST}."]


def rows(found: Comparison) -> list[Compare]:
    scale = _scale(found.metrics)
    return [_row(one, scale) for one in found.metrics]


def sliced(found: Comparison) -> list[Sliced]:
    metrics = [metric for one in found.slices for metric in one.metrics]
    scale = _scale(metrics)
    return [
        Sliced(
            by=one.by.replace("_", " "),
            value=one.value,
            size=f"{one.n:,}" + (" (small)" if one.small else ""),
            metrics=[_row(metric, scale) for metric in one.metrics],
        )
        for one in found.slices
    ]


def verdicts(found: Comparison) -> list[Verdict]:
    return [
        _verdict("weighted_score", found.weighted_score, found.weights.weighted_score),
        _verdict("composite", found.composite, found.weights.composite),
    ]


def _verdict(name: str, score: Score | str, weights: Mapping[str, float]) -> Verdict:
    shown = wording.label(name)
    parts = ", ".join(f"{wording.label(key)} {part:g}" for key, part in weights.items())
    if isinstance(score, str):
        return Verdict(shown, f"not given, {score}.", "", "", "", "", "", parts)
    a, b = wording.number(name, score.a), wording.number(name, score.b)
    difference = wording.signed(name, score.difference)
    between = f"{difference} ({wording.between_signed(name, score.interval)})"
    finding = _finding(score)
    tone = "good" if score.better else "bad" if _worse(score) else ""
    sentence = f"{finding} A {a}, B {b}, B − A {between}."
    return Verdict(shown, sentence, a, b, between, finding, tone, parts)


def _finding(score: Score) -> str:
    if score.undecided:
        return f"Not decided: {score.undecided}."
    if score.better:
        return f"B is better, by {score.margin:g} at least and an interval above 0."
    if _worse(score):
        return "B is worse."
    if score.difference >= score.margin:
        return "B is ahead by the margin, but the interval reaches 0: that may be chance."
    return f"B is not better by {score.margin:g}."


def _worse(score: Score) -> bool:
    return score.interval.high < 0 and not score.undecided


def _beside(found: Comparison) -> str:
    """What is to be read beside the weighted score."""
    parts = [
        f"{wording.label(name)} {wording.number(name, a)} in A, {wording.number(name, b)} in B"
        for name, (a, b) in found.beside.items()
    ]
    return f"Beside it, since precision rewards short answers: {'; '.join(parts)}." if parts else ""


def _scale(metrics: Sequence[Compared]) -> Scale:
    bounds = [
        bound
        for one in metrics
        if one.of_share
        for bound in (one.difference.interval.low, one.difference.interval.high)
    ]
    return charts.around_zero(bounds)


def _row(one: Compared, scale: Scale) -> Compare:
    found, name, shown = one.difference, one.name, wording.label(one.name)
    difference = wording.signed(name, found.difference)
    between = wording.between_signed(name, found.interval)
    says = f"{shown}: B less A {difference}, {between}, {one.direction}"
    tone = TONES[one.direction]
    low, high = found.interval.low, found.interval.high
    parts = [("win", one.wins), ("tie", one.ties), ("loss", one.losses)]
    return Compare(
        name=shown,
        a=wording.number(name, one.a),
        b=wording.number(name, one.b),
        difference=difference,
        between=between,
        p=wording.chance(found.p),
        p_holm=wording.chance(one.p_holm),
        effect=wording.signed("effect", found.effect),
        n=found.n,
        direction=one.direction if found.n else "not scored",
        tone=tone,
        plot=charts.bar(scale, found.difference, low, high, says=says, tone=tone)
        if one.of_share
        else None,
        wins=one.wins,
        losses=one.losses,
        ties=one.ties,
        shares=charts.shares(parts, says=f"B won {one.wins}, tied {one.ties}, lost {one.losses}"),
    )


def _directions(metrics: Sequence[Compared]) -> str:
    counts = dict.fromkeys(TONES, 0)
    for one in metrics:
        counts[one.direction] += 1
    return ", ".join(f"{many} {kind}" for kind, many in counts.items() if many)


def _ordering(found: Comparison) -> Compared | None:
    by_name = {one.name: one for one in found.metrics if one.of_share}
    preferred = (by_name[name] for name in report.PREFERRED if name in by_name)
    return next(preferred, next(iter(by_name.values()), None))


def _examples(found: Comparison, by: Compared, ids: tuple[str, ...]) -> list[Beside]:
    places = {row.example_id: place for place, row in enumerate(found.a.rows)}
    each_a = next(one for one in found.a.measured if one.name == by.name).each()
    each_b = next(one for one in found.b.measured if one.name == by.name).each()
    examples = []
    for example_id in ids:
        place = places[example_id]
        other = found.order_b[place]
        examples.append(
            Beside(
                found.a.rows[place],
                found.b.rows[other],
                wording.number(by.name, float(each_a[place])),
                wording.number(by.name, float(each_b[other])),
            )
        )
    return examples


def _failed(card: Scorecard) -> int:
    return sum(row.failure is not None for row in card.rows)


def as_object(found: Comparison) -> dict[str, Any]:
    """For JSON: what is no number is None."""
    return {
        "a": _release(found.a, found.bias[0]),
        "b": _release(found.b, found.bias[1]),
        "test_set": {"name": found.a.test_set, "hash": found.a.test_set_hash},
        "n": len(found.a.rows),
        "seed": found.seed,
        "family": TEST,
        "metrics": [_metric(one) for one in found.metrics],
        "weighted_score": _weighed(found.weighted_score),
        "composite": _weighed(found.composite),
        "slices": [
            {
                "by": one.by,
                "value": one.value,
                "n": one.n,
                "small": one.small,
                "metrics": [_metric(metric) for metric in one.metrics],
            }
            for one in found.slices
        ],
        "only_one_has": list(found.only),
    }


def _release(card: Scorecard, bias: float | None) -> dict[str, Any]:
    return {"release": card.release_id, "failures": _failed(card), "bias": bias}


def _metric(one: Compared) -> dict[str, Any]:
    found = one.difference
    return {
        "name": one.name,
        "n": found.n,
        "a": _finite(one.a),
        "b": _finite(one.b),
        "difference": _finite(found.difference),
        "low": _finite(found.interval.low),
        "high": _finite(found.interval.high),
        "p": _finite(found.p),
        "p_holm": _finite(one.p_holm),
        "effect": _finite(found.effect),
        "direction": one.direction,
        "wins": one.wins,
        "ties": one.ties,
        "losses": one.losses,
        "best": list(one.best),
        "worst": list(one.worst),
    }


def _weighed(score: Score | str) -> dict[str, Any]:
    if isinstance(score, str):
        return {"reason": score}
    return {
        "a": score.a,
        "b": score.b,
        "difference": score.difference,
        "low": _finite(score.interval.low),
        "high": _finite(score.interval.high),
        "margin": score.margin,
        "better": score.better,
        "undecided": score.undecided,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
