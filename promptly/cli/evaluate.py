"""`promptly evaluate`: what a release's answers measure up to, and whether another's do better."""

from __future__ import annotations

import typer

from promptly.cli.agree import agree

app = typer.Typer(
    help="Score a release on a test set, and compare scorecards.", no_args_is_help=True
)
app.command()(agree)


@app.callback()
def evaluate() -> None:
    """Score a release on a test set, and compare scorecards."""
