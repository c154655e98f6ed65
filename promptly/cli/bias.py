"""`promptly bias`: how fair texts, answers and searches are, and how well that is judged."""

from __future__ import annotations

import typer

from promptly.cli import bias_review
from promptly.cli.bias_benchmark import benchmark
from promptly.cli.bias_probe import probe
from promptly.cli.bias_report import report
from promptly.cli.bias_score import score
from promptly.cli.bias_train import train
from promptly.cli.bias_validate import validate

app = typer.Typer(
    help="Judge how fair texts, answers and searches are, and the judges.", no_args_is_help=True
)
app.command()(score)
app.command()(train)
app.command()(probe)
app.command()(benchmark)
app.command()(validate)
app.command()(report)
app.command()(bias_review.review)
app.add_typer(bias_review.reviews, name="reviews")
