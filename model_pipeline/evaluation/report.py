"""A Scorecard for people: a page that needs nothing else, and Markdown for a step's summary.

The page holds no script and asks no network: its policy forbids both, so that an answer which says
`<script>` is only text. Plots are SVG (charts.py), which a page of Plotly's would need 4.7 MB of
script for, and which print.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from model_pipeline.evaluation import charts, wording
from model_pipeline.evaluation.charts import SHARE
from model_pipeline.evaluation.measured import Measured
from model_pipeline.evaluation.scorecard import SMALL, Figure, Scorecard, of_share

# The first that is there orders the examples: what a reader would call a good answer.
PREFERRED = "faithfulness coverage rouge_l_f1 rouge_1_f1 bleu_1".split()
EXTREMES = 6  # examples shown of each kind
ROWS = 60  # slices in Markdown, which is to be short
IDS = 20  # shown of each failure
FOREMOST = 6  # metrics whose slices are shown at once, the rest on a click
HEADLINE = (
    "faithfulness relevance coverage rouge_l_f1 bleu_4 citation_precision declining_recall ndcg_10 "
    "reliability"
).split()


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a plot: `text` beside the drawn `plot`."""

    name: str
    plot: Markup | None
    text: str
    between: str
    n: int
    small: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """An example with what the release made of it."""

    example_id: str
    question: str
    references: tuple[str, ...]
    answer: str
    note: str
    tags: str
    values: tuple[tuple[str, str], ...]


def html(card: Scorecard) -> str:
    headline = _ordering(card)
    worst, best = _extremes(card, headline)
    return page(
        "scorecard.html.j2",
        card=card,
        failures=counts(card.failures()),
        failed=sum(row.failure is not None for row in card.rows),
        key=[_key(card, name) for name in _headline(card)],
        groups=list(_groups(card)),
        panels=[_panel(card, name) for name in _in_order(card)] if card.slices else [],
        foremost=FOREMOST,
        histograms=[_histogram(card, one) for one in _spread(card)],
        ordering=wording.label(headline.name) if headline else None,
        worst=worst,
        best=best,
        unscored=[
            (wording.label(one.name), *counted)
            for one in card.measured
            for counted in counts(card.unscored(one))
        ],
        axis=charts.axis(SHARE),
        narrow=charts.axis(SHARE, ticks=3),
    )


def markdown(card: Scorecard) -> str:
    cell = wording.cell
    lines = [
        f"## Scorecard: {cell(card.release_id)}",
        "",
        f"{wording.count(len(card.rows), 'example')} of {cell(card.test_set)} "
        f"(`{card.test_set_hash[:12]}`), intervals of 95 %.",
        "",
        *_failures_markdown(card),
        "| Metric | Figure | 95 % interval | n | not scored |",
        "| :-- | --: | :-- | --: | --: |",
    ]
    for one in card.measured:
        figure = card.figures[one.name]
        lines.append(
            f"| {wording.label(one.name)} | {wording.number(one.name, figure.value)} "
            f"| {wording.between(one.name, figure.interval)} | {figure.n} "
            f"| {len(one.failures) or ''} |"
        )
    return "\n".join([*lines, *_slices_markdown(card), ""])


def page(template: str, *, package: str = "model_pipeline.evaluation", **values: Any) -> str:
    """A page by a template of `package`, with the style in it, allowed by its hash and nothing
    else."""
    style = _style()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    found = (
        _templates(package).get_template(template).render(**values, style=style, style_hash=digest)
    )
    return found.encode("utf-8", "replace").decode() + "\n"


@cache
def _templates(package: str) -> Environment:
    packages = dict.fromkeys((package, "model_pipeline.evaluation"))  # which has the base
    templates = Environment(
        loader=ChoiceLoader([PackageLoader(one, "templates") for one in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"cut": wording.cut, "label": wording.label}
    templates.globals |= {"count": wording.count}
    return templates


@cache
def _style() -> Markup:
    path = Path(__file__).parent / "templates" / "report.css"
    return Markup(path.read_text(encoding="utf-8"))  # noqa: S704 - the package's own file


def _headline(card: Scorecard) -> list[str]:
    found = [name for name in HEADLINE if name in card.figures]
    return found[:6] if len(found) > 1 else [one.name for one in card.measured][:6]


def _in_order(card: Scorecard) -> list[str]:
    """The metrics of a share, those of the headline first."""
    names = [one.name for one in card.measured if of_share(one)]
    first = [name for name in _headline(card) if name in names]
    return [*first, *(name for name in names if name not in first)]


def _key(card: Scorecard, name: str) -> Line:
    return _line(card.figures[name], name, wording.label(name), shared=False)


def _groups(card: Scorecard) -> Iterator[tuple[str, list[Line]]]:
    by_group: dict[str, list[Line]] = {name: [] for name in (*wording.GROUPS, wording.OTHER)}
    for one in card.measured:
        line = _line(card.figures[one.name], one.name, wording.label(one.name), of_share(one))
        by_group[wording.group(one.name)].append(line)
    return ((name, lines) for name, lines in by_group.items() if lines)


def _line(figure: Figure, name: str, shown: str, shared: bool) -> Line:
    text = wording.number(name, figure.value)
    between = wording.between(name, figure.interval)
    says = f"{shown}: {text}, {between}, of {figure.n}"
    low, high = figure.interval.low, figure.interval.high
    tone = "small" if figure.small else ""
    plot = charts.bar(SHARE, figure.value, low, high, says=says, tone=tone) if shared else None
    return Line(shown, plot, text, between, figure.n, figure.small)


def _panel(card: Scorecard, name: str) -> tuple[str, Line, list[tuple[str, list[Line]]]]:
    """A metric's slices: its label, the whole, and each partition's lines."""
    partitions: dict[str, list[Line]] = {}
    for one in card.slices:
        line = _line(one.figures[name], name, wording.cut(one.value, 60), shared=True)
        partitions.setdefault(wording.cut(one.by.replace("_", " "), 60), []).append(line)
    whole = _line(card.figures[name], name, "All", shared=True)
    return wording.label(name), whole, list(partitions.items())


def _spread(card: Scorecard) -> list[Measured]:
    by_name = {one.name: one for one in card.measured}
    return [by_name[name] for name in _in_order(card) if _has_spread(by_name[name])]


def _has_spread(measured: Measured) -> bool:
    """Whether single examples lie between 0 and 1, so that their distribution tells something."""
    return of_share(measured) and len(np.unique(measured.each()[measured.scored])) > 2


def _histogram(card: Scorecard, measured: Measured) -> tuple[str, Markup]:
    figure = card.figures[measured.name]
    name = wording.label(measured.name)
    says = f"{name}: how the {figure.n} examples are spread from 0 to 1"
    return name, charts.histogram(measured.each(), SHARE, figure.value, says=says)


def _answered(card: Scorecard) -> list[bool]:
    """Failures have a list of their own, and declining its figures."""
    return [row.failure is None and not row.declined for row in card.rows]


def _ordering(card: Scorecard) -> Measured | None:
    """The metric that says which answers are good; it has to have a value for some of them."""
    answered = np.array(_answered(card))
    shares = [one for one in card.measured if of_share(one)]
    by_name = {one.name: one for one in shares if (one.scored & answered).any()}
    preferred = [by_name[name] for name in PREFERRED if name in by_name]
    telling = [one for one in by_name.values() if _has_spread(one)]
    return next(iter([*preferred, *telling, *by_name.values()]), None)


def _extremes(card: Scorecard, by: Measured | None) -> tuple[list[Shown], list[Shown]]:
    if by is None:
        return [], []
    each = np.where(_answered(card), by.each(), np.nan)
    order = [int(place) for place in np.argsort(each, kind="stable") if np.isfinite(each[place])]
    half = (len(order) + 1) // 2
    worst, best = order[:half][:EXTREMES], order[half:][::-1][:EXTREMES]
    return [_shown(card, place) for place in worst], [_shown(card, place) for place in best]


def _shown(card: Scorecard, place: int) -> Shown:
    row = card.rows[place]
    values = [(one.name, float(one.each()[place])) for one in card.measured if one.scored[place]]
    wanted = dict.fromkeys([*_headline(card), *PREFERRED])
    return Shown(
        example_id=row.example_id,
        question=row.question,
        references=row.references,
        answer=row.answer,
        note=row.failure or ("Declined." if row.declined else ""),
        tags=", ".join(f"{key.replace('_', ' ')}: {value}" for key, value in row.tags.items()),
        values=tuple(
            (wording.label(name), wording.number(name, value))
            for name, value in values
            if name in wanted
        ),
    )


def counts(found: dict[str, list[str]]) -> list[tuple[str, int, str]]:
    """(name, how many, the first ids), the most frequent first."""
    ordered = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    return [(name, len(ids), first_ids(ids)) for name, ids in ordered]


def first_ids(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - IDS:,} more" if len(ids) > IDS else ""
    return ", ".join(ids[:IDS]) + more


def _failures_markdown(card: Scorecard) -> list[str]:
    found = counts(card.failures())
    if not found:
        return ["**No failures.**", ""]
    cell = wording.cell
    failed = sum(many for _, many, _ in found)
    rows = [f"| {cell(name)} | {many} | {cell(ids, 2_000)} |" for name, many, ids in found]
    return [
        f"**{wording.count(failed, 'failure')} of {len(card.rows):,}**",
        "",
        "| Failure | Count | Examples |",
        "| :-- | --: | :-- |",
        *rows,
        "",
    ]


def _slices_markdown(card: Scorecard) -> list[str]:
    names = [name for name in _headline(card) if name in _in_order(card)][:4]
    if not card.slices or not names:
        return []
    titles = " | ".join(wording.label(name) for name in names)
    lines = ["", f"| Slice | n | {titles} |", f"| :-- | --: | {'--: | ' * len(names)}".rstrip()]
    for one in card.slices[:ROWS]:
        few = " (small)" if one.n < SMALL else ""
        figures = " | ".join(wording.number(name, one.figures[name].value) for name in names)
        title = f"{wording.cell(one.by)}: {wording.cell(one.value)}"
        lines.append(f"| {title} | {one.n}{few} | {figures} |")
    if len(card.slices) > ROWS:
        lines += ["", f"{len(card.slices) - ROWS:,} more slices are in the page and the scorecard."]
    return lines
