"""`promptly evaluate agree`: how well the metrics agree with your own ratings."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Column, Table

from model_pipeline.embedding.factory import DEFAULT
from promptly import bootstrap
from promptly.cli.judge import JudgeOption, open_judge
from promptly.cli.output import JsonFlag, log_errors_alone, out, print_json, safe
from promptly.cli.progress import bar
from promptly.settings import read_settings

if TYPE_CHECKING:
    from model_pipeline.evaluation.agreement import Agreed

NAMES = {"own": "", "rouge_l": "ROUGE-L F1", "cosine": "cosine"}


def agree(
    ratings: Annotated[
        Path,
        typer.Argument(
            help="JSONL, JSON, CSV or TSV with question, answer, reference or passages, and "
            "rating or ratings."
        ),
    ],
    rating: Annotated[
        list[str] | None, typer.Option(help="A field that holds ratings, if not a usual name.")
    ] = None,
    good: Annotated[
        float | None,
        typer.Option(help="A rating of this or more is good; else the middle of the scale."),
    ] = None,
    judge: JudgeOption = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that a grade may take.")] = 60,
    seed: Annotated[int, typer.Option(help="Of the resampling.", min=0)] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Show how well relevance, coverage and faithfulness agree with people's ratings, beside
    ROUGE-L and plain cosine over the same rows."""
    import numpy as np

    from model_pipeline.evaluation.beside import scored
    from model_pipeline.evaluation.ratings import read_ratings
    from promptly.measuring import graded

    rows = read_ratings(ratings, rating or ())
    settings = read_settings()
    log_errors_alone()
    pairs = [row.pair for row in rows]
    grading = open_judge(settings, judge, timeout)
    found = scored(pairs, bootstrap.embedder(settings, settings.embedder or DEFAULT))
    if grading is not None:
        with bar(hidden=as_json) as tell:
            grades = graded(grading, settings, progress=partial(tell, "judge"))(pairs)
        found |= {
            one.name: replace(found[one.name.removeprefix("judged_")], own=one.each())
            for one in grades
        }
    lengths = np.array([len(row.pair.prediction.answer.split()) for row in rows])
    printed: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(key for row in rows for key in row.ratings):
        rated = np.array([row.ratings.get(name, np.nan) for row in rows])
        middle = (np.nanmin(rated) + np.nanmax(rated)) / 2 if good is None else good
        printed[name] = {
            metric: _agreed(asdict(each), rated, lengths, float(middle), seed)
            for metric, each in found.items()
        }
    if as_json:
        print_json(printed)
    else:
        out.print(_table(printed))


def _agreed(
    scores: dict[str, Any], rated: Any, lengths: Any, good: float, seed: int
) -> dict[str, Any]:
    """Of one metric and its peers, over the rows that it scores. Raises InvalidInput where they are
    too few, unless the metric has too little to go by: no reference, no passages."""
    import numpy as np

    from model_pipeline.evaluation.agreement import MIN_ROWS, drawn

    has_rating = np.isfinite(rated)
    both = np.isfinite(scores["own"]) & has_rating
    told = {"rows": int(both.sum()), "unscored": int((~both & has_rating).sum()), "good": good}
    if both.sum() < MIN_ROWS <= has_rating.sum():
        return {**told, "agreement": None, "beside": {}}
    chosen = {name: values[both] for name, values in scores.items()}
    own, *peers = drawn(chosen, rated[both], lengths[both], good=good, seed=seed).values()
    beside = {
        NAMES[name]: {"agreement": peer.agreement(), "ahead": own.less(peer)}
        for name, peer in zip(list(scores)[1:], peers, strict=True)
    }
    return {**told, "agreement": own.agreement(), "beside": beside}


def _table(printed: dict[str, dict[str, Any]]) -> Table:
    """By rating each metric, and below it its peers with how far it is ahead of them."""

    def shown(one: Agreed) -> str:
        return f"{one.value:.2f}\n{one.low:.2f}…{one.high:.2f}"

    heads = "rows", "Spearman", "ahead", "AUC", "ahead", "length"
    figures = [Column(one, justify="right") for one in heads]
    table = Table(Column("score", no_wrap=True), *figures, box=SIMPLE_HEAD, pad_edge=False)
    for rating, metrics in printed.items():
        table.add_row(f"[bold]{escape(safe(rating))}[/]")
        for metric, cells in metrics.items():
            rows, one = str(cells["rows"]), cells["agreement"]
            if one is None:
                table.add_row(metric, rows, *["-"] * 5)
                continue
            own = shown(one.spearman), "", shown(one.auc), "", f"{one.length.value:.2f}"
            table.add_row(metric, rows, *own)
            for peer, each in cells["beside"].items():
                its, ahead = each["agreement"], each["ahead"]
                told = its.spearman, ahead.spearman, its.auc, ahead.auc
                table.add_row(f"  {peer}", "", *map(shown, told), f"{its.length.value:.2f}")
        table.add_section()
    return table
