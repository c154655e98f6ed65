"""`promptly train`: from what the database knows to a fine-tuned model."""

from __future__ import annotations

import typer

from promptly.cli.train_local import local

app = typer.Typer(help="Training data, and models that are fine-tuned on it.", no_args_is_help=True)
app.callback()(lambda: None)
app.command()(local)
