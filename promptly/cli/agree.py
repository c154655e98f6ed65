"""`promptly evaluate agree`: how well the metrics agree with your own ratings."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from model_pipeline.embedding.factory import DEFAULT
from promptly import bootstrap
from promptly.cli.judge import JudgeOption, open_judge
from promptly.cli.output import JsonFlag, log_errors_alone, out, print_json, safe
from promptly.cli.progress import bar
from promptly.settings import read_settings


def agree(
    ratings: Annotated[
        Path,
        typer.Argument(
            help="JSONL with question, answer, reference or passages, and rating or ratings."
        ),
    ],
    good: Annotated[
        float | None,
        typer.Option(help="A rating of this or more is good; else the middle of the scale."),
    ] = None,
    judge: JudgeOption = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that a grade may take.")] = 60,
    seed: Annotated[int, typer.Option(help="Of the resampling.", min=0)] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Show how well relevance, coverage and faithfulness agree with people's ratings."""
    import numpy as np

    from model_pipeline.evaluation.agreement import MIN_ROWS, Agreed, agreement
    from model_pipeline.evaluation.ratings import read_ratings, scored
    from promptly.measuring import graded

    rows = read_ratings(ratings)
    settings = read_settings()
    log_errors_alone()
    pairs = [row.pair for row in rows]
    grading = open_judge(settings, judge, timeout)
    found = scored(pairs, bootstrap.embedder(settings, settings.embedder or DEFAULT))
    if grading is not None:
        with bar(hidden=as_json) as tell:
            grades = graded(grading, settings, progress=partial(tell, "judge"))(pairs)
        found |= {one.name: one.each() for one in grades}
    lengths = np.array([len(row.pair.prediction.answer.split()) for row in rows])
    printed: dict[str, dict[str, object]] = {}
    for name in dict.fromkeys(key for row in rows for key in row.ratings):
        rated = np.array([row.ratings.get(name, np.nan) for row in rows])
        middle = (np.nanmin(rated) + np.nanmax(rated)) / 2 if good is None else good
        printed[name] = {}
        for metric, values in found.items():
            both = np.isfinite(values) & np.isfinite(rated)
            few = both.sum() < MIN_ROWS <= np.isfinite(rated).sum()  # no reference, no passages
            one = (
                None
                if few
                else agreement(
                    {metric: values[both]},
                    rated[both],
                    lengths[both],
                    good=float(middle),
                    seed=seed,
                )[metric]
            )
            printed[name][metric] = {
                "rows": int(both.sum()),
                "unscored": int((~both & np.isfinite(rated)).sum()),
                "good": float(middle),
                "agreement": one,
            }
    if as_json:
        print_json(printed)
        return

    def shown(one: Agreed) -> str:
        return f"{one.value:.2f} ({one.low:.2f} to {one.high:.2f})"

    for name, metrics in printed.items():
        table = Table(
            Column("metric"),
            *(Column(head, justify="right") for head in ("rows", "Spearman", "Kendall", "AUC")),
            Column("with length", justify="right"),
            title=escape(safe(name)),
        )
        for metric, cells in metrics.items():
            one = cells["agreement"]  # type: ignore[index]
            figures = (
                map(shown, (one.spearman, one.kendall, one.auc, one.length)) if one else ["-"] * 4
            )
            table.add_row(metric, str(cells["rows"]), *figures)  # type: ignore[index]
        out.print(table)
