"""`promptly evaluate`: what a release's answers measure up to, and whether another's do better."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Column, Table

from model_pipeline.errors import InvalidInput
from promptly.cli import evaluate_run
from promptly.cli.agree import agree
from promptly.cli.output import JsonFlag, out, print_json, safe

if TYPE_CHECKING:
    from model_pipeline.evaluation.comparison_report import Compare

app = typer.Typer(
    cls=evaluate_run.RunByDefault,
    help="Score a release on a test set, and compare scorecards.",
    no_args_is_help=True,
)
app.command()(evaluate_run.run)
app.command()(agree)
HtmlOption = Annotated[Path | None, typer.Option("--html", help="Write a page to this file.")]
MarkdownOption = Annotated[
    Path | None, typer.Option("--markdown", help="Write Markdown to this file.")
]
BiasOption = Annotated[
    float | None,
    typer.Option(help="Mean rubric score of bias, 1 to 5, where the scorecard has none."),
]
COLOURS = {"better": "green", "worse": "red"}


@app.command()
def report(
    scorecard: Annotated[Path, typer.Argument(help="A scorecard, as a JSON file.")],
    html: HtmlOption = None,
    markdown: MarkdownOption = None,
) -> None:
    """Show a scorecard: as Markdown, or in the files you name."""
    from model_pipeline.evaluation import report, scorecard_file

    card = scorecard_file.read(scorecard)
    if html is None and markdown is None:
        typer.echo(report.markdown(card).encode())
    _write(html, report.html(card) if html else "")
    _write(markdown, report.markdown(card) if markdown else "")


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="A scorecard, as a JSON file.")],
    b: Annotated[Path, typer.Argument(help="Another over the same test set: is it better?")],
    html: HtmlOption = None,
    markdown: MarkdownOption = None,
    params: Annotated[
        Path | None, typer.Option(help="Weights, in place of the shipped params.yaml.")
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(help="Part by part, too: a tag, answerability, question length, or all."),
    ] = None,
    bias_a: BiasOption = None,
    bias_b: BiasOption = None,
    seed: Annotated[int, typer.Option(help="Of the resampling.", min=0)] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Compare two scorecards over the same test set, example by example."""
    from model_pipeline.evaluation import comparison, comparison_report, scorecard_file, weights

    found = comparison.compare(
        scorecard_file.read(a),
        scorecard_file.read(b),
        weights.read(params),
        seed=seed,
        bias_a=bias_a,
        bias_b=bias_b,
        by=by or (),
    )
    _write(html, comparison_report.html(found) if html else "")
    _write(markdown, comparison_report.markdown(found) if markdown else "")
    if as_json:
        print_json(comparison_report.as_object(found))
        return
    out.print(_table(comparison_report.rows(found)))
    for part in comparison_report.sliced(found):
        title = escape(safe(f"{part.by}: {part.value}, n = {part.size}"))
        out.print(_table(part.metrics, title))
    out.print("Where neither better nor worse stands, no difference is shown.")
    for verdict in comparison_report.verdicts(found):
        out.print(f"[bold]{verdict.name}[/bold]: {escape(safe(verdict.sentence))}")


def _table(rows: Sequence[Compare], title: str | None = None) -> Table:
    numbers = [Column(name, justify="right", no_wrap=True) for name in ("n", "A", "B", "B − A")]
    more = [Column(name, no_wrap=True) for name in ("95 % interval", "p (Holm)", "")]
    table = Table(
        "metric", *numbers, *more, title=title, title_justify="left", box=SIMPLE_HEAD,
        pad_edge=False,
    )  # fmt: skip
    for one in rows:
        colour = COLOURS.get(one.direction)
        found = f"[{colour}]{one.direction}[/]" if colour else ""
        table.add_row(
            one.name, str(one.n), one.a, one.b, one.difference, one.between, one.p_holm, found
        )
    return table


def _write(path: Path | None, text: str) -> None:
    if path is None:
        return
    try:
        path.write_text(text, encoding="utf-8", errors="replace", newline="\n")
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}.") from error
