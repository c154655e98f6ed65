"""`promptly bias score`: verdicts on texts, as JSON lines."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from model_pipeline.errors import InvalidInput
from promptly.bias_judges import open_judge
from promptly.cli.bad_input import bad_input_tells
from promptly.cli.bias_validate import JudgeOption
from promptly.cli.interrupt import be_interruptible
from promptly.cli.output import log_errors_alone, say_error
from promptly.cli.progress import bar
from promptly.settings import read_settings

EXIT_UNJUDGED = 1


def score(
    text: Annotated[list[str] | None, typer.Argument(help="A text; several are several.")] = None,
    file: Annotated[
        Path | None, typer.Option(help="Texts in a file: JSONL, or a JSON list.")
    ] = None,
    field: Annotated[str, typer.Option(help="Which field of a row is the text.")] = "text",
    judge: JudgeOption = None,
    to: Annotated[
        Path | None,
        typer.Option("--out", help="Write to this file; stopped or killed, the same goes on."),
    ] = None,
) -> None:
    """Judge texts from 1 (harmful) to 5 (fair), one JSON line each.

    Exit status: 0 all judged, 1 a text without a verdict, which says why, 2 bad input.
    """
    from bias.scored import read_texts, scored, write_scored

    settings = read_settings()
    be_interruptible()
    log_errors_alone()
    with bad_input_tells():
        if bool(text) == (file is not None):
            raise InvalidInput("Give texts, or a file of them by --file.")
        texts = list(text or ()) if file is None else read_texts(file, field)
        whom = open_judge(judge or (), settings)
        if to is None:
            failed = 0
            for row in scored(whom, texts):
                typer.echo(json.dumps(row))
                failed += "unjudged" in row
        else:
            with bar(hidden=False) as tell:
                failed = write_scored(whom, texts, to, progress=partial(tell, "judged"))
    if failed:
        say_error(f"{failed:,} of {len(texts):,} texts have no verdict.")
        raise typer.Exit(EXIT_UNJUDGED)
