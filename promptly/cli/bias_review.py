"""`promptly bias review` and `promptly bias reviews`: what people say of verdicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from model_pipeline.errors import InvalidInput
from promptly.cli.output import JsonFlag, out, print_json, safe
from promptly.settings import read_settings

LONGEST = 10_000  # characters of a comment

reviews = typer.Typer(help="What people said of verdicts.", no_args_is_help=True)


def review(
    answer_id: Annotated[UUID, typer.Argument(help="The answer whose verdict it is.")],
    confirm: Annotated[bool, typer.Option("--confirm", help="The judge is right.")] = False,
    contest: Annotated[
        int | None,
        typer.Option(min=1, max=5, metavar="LEVEL", help="The level that you would give."),
    ] = None,
    comment: Annotated[str | None, typer.Option(help="Why.")] = None,
    signature: Annotated[
        str | None, typer.Option("--judge", help="Whose verdict, by its signature; the newest.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Confirm or contest the verdict on an answer, as who runs the service."""
    if confirm == (contest is not None):
        raise InvalidInput("Give either --confirm or --contest LEVEL.")
    if comment is not None and not 0 < len(comment) <= LONGEST:
        raise InvalidInput(f"--comment has {len(comment):,} characters: give 1 to {LONGEST:,}.")
    if comment is not None and "\0" in comment:
        raise InvalidInput("--comment holds a null character: leave it out.")
    from promptly.bias_reporting import reporting

    with reporting(read_settings()) as opened:
        said = opened.reviews.review(answer_id, level=contest, comment=comment, signature=signature)
    if as_json:
        print_json(
            {
                "review_id": said.review_id, "answer_id": said.answer_id, "level": said.level,
                "judged": said.judged, "confirms": said.confirms, "signature": said.signature,
            }
        )  # fmt: skip
        return
    told = "Confirmed" if said.confirms else f"Contested: level {said.level}, the judge said"
    out.print(safe(f"{told} level {said.judged} of {said.signature}."), markup=False)


@reviews.command()
def export(
    path: Annotated[
        Path | None, typer.Option("--out", help="Write to this file; else print it.")
    ] = None,
) -> None:
    """Labels by people, as `promptly bias validate --labels` reads them: JSON lines."""
    from promptly.bias_reporting import labels, reporting

    with reporting(read_settings()) as opened:
        rows = labels(opened)
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    content = lines.encode("utf-8", "replace")
    if path is None:
        typer.echo(content, nl=False)
        return
    try:
        path.write_bytes(content)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}.") from error
    out.print(f"{len(rows)} labels written.")
