"""`promptly train`: from what the database knows to a fine-tuned model."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from promptly.cli import train_runs
from promptly.cli.train_data import data
from promptly.cli.train_local import local


class _Train(TyperGroup):
    """`promptly train --local` reads as an option of training, and is the command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, ["local", *args[1:]] if args[:1] == ["--local"] else args)


app = typer.Typer(
    cls=_Train, help="Training data, and models that are fine-tuned on it.", no_args_is_help=True
)
app.command()(data)
app.command()(local)
app.command()(train_runs.submit)
app.command()(train_runs.collect)
app.command()(train_runs.status)
app.command()(train_runs.cancel)
app.command()(train_runs.logs)
app.command()(train_runs.resume)
