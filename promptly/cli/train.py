"""`promptly train`: from what the database knows to a fine-tuned model."""

from __future__ import annotations

import typer

from promptly.cli import train_runs
from promptly.cli.train_data import data
from promptly.cli.train_local import local

app = typer.Typer(help="Training data, and models that are fine-tuned on it.", no_args_is_help=True)
app.command()(data)
app.command()(local)
app.command()(train_runs.submit)
app.command()(train_runs.collect)
app.command()(train_runs.status)
app.command()(train_runs.cancel)
app.command()(train_runs.logs)
app.command()(train_runs.resume)
