"""`promptly data`: stored rows as files, for training and evaluation."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from model_pipeline.errors import InvalidInput
from model_pipeline.store.doors import Kind
from promptly import bootstrap
from promptly.cli.interrupt import be_interruptible
from promptly.cli.output import CollectionOption, JsonFlag, err, out, print_json, safe
from promptly.settings import read_settings

if TYPE_CHECKING:
    from model_pipeline.load_data import Loaded

app = typer.Typer(help="Stored rows as files.", no_args_is_help=True)


@app.callback()
def data() -> None:
    """Stored rows as files."""


@app.command()
def export(
    kind: Annotated[Kind, typer.Argument(help="What to write.")],
    folder: Annotated[Path, typer.Option("--out", help="The folder to write Parquet files to.")],
    collection: CollectionOption = None,
    since: Annotated[
        str | None, typer.Option(help="Changed at this time or later: 2026-01-31[T12:00[+01:00]].")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Changed before this time.")] = None,
    vectors: Annotated[bool, typer.Option("--vectors", help="Chunks with their vectors.")] = False,
    https: Annotated[
        bool,
        typer.Option("--https", help="Through SUPABASE_URL and its key, not the database."),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Write chunks, question-answer pairs or feedback to a folder, or go on where that stopped."""
    from model_pipeline import load_data  # takes time to import, and few need it

    wanted = load_data.Wanted(
        kind, collection, _time(since, "--since"), _time(until, "--until"), vectors
    )
    be_interruptible()
    with bootstrap.door(read_settings(), https=https) as door, _bar(hidden=as_json) as bar:
        task = bar.add_task(kind, total=None)
        done = load_data.export(
            door,
            wanted,
            folder,
            progress=lambda rows, of: bar.update(task, completed=rows, total=max(rows, of)),
        )
    if as_json:
        print_json(_as_json(done))
        return
    known = f" ({done.rows_before} lay there)" if done.rows_before else ""
    newest = f", as of {done.newest}" if done.newest else ""
    line = f"{done.rows} {kind}{known} in {len(done.shards)} files of {folder}{newest}."
    out.print(safe(line), markup=False, highlight=False, soft_wrap=True)


def _as_json(done: Loaded) -> dict[str, Any]:
    return {
        "rows": done.rows,
        "rows_before": done.rows_before,
        "newest": done.newest,
        "files": [str(path) for path in done.shards],
    }


def _time(text: str | None, option: str) -> datetime | None:
    """ISO 8601; UTC where no zone is named."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(
            f"{option} is {text!r}, which is no time: give one such as 2026-01-31 or "
            "2026-01-31T12:00:00+01:00."
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _bar(*, hidden: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=hidden or not err.is_terminal,
    )
