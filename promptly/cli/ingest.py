"""`promptly ingest`: files, folders, globs and URLs into the store."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from model_pipeline.documents.found import FieldNames
from model_pipeline.domain import DEFAULT_COLLECTION
from model_pipeline.ingest import Ingest, IngestSummary
from promptly import bootstrap
from promptly.cli.interrupt import be_interruptible
from promptly.cli.output import JsonFlag, err, out, print_json, safe
from promptly.settings import read_settings

if TYPE_CHECKING:
    from model_pipeline.watch import Applied, Watch

EXIT_SOME_FAILED = 3
SHOWN_FAILURES = 20


def ingest(
    paths: Annotated[
        list[str],
        typer.Argument(help="Files, folders, globs or URLs; 'demo:python' for the demo documents."),
    ],
    collection: Annotated[
        str, typer.Option("--collection", "-c", help="The collection to put them in.")
    ] = DEFAULT_COLLECTION,
    sync: Annotated[
        bool, typer.Option("--sync", help="Remove documents of these paths that are gone.")
    ] = False,
    id_field: Annotated[
        str | None, typer.Option(help="JSONL, CSV: the field with a row's id.")
    ] = None,
    title_field: Annotated[
        str | None, typer.Option(help="JSONL, CSV: the field with a row's title.")
    ] = None,
    content_field: Annotated[
        str | None, typer.Option(help="JSONL, CSV: the field with a row's text.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Stay, and apply what changes, until Ctrl-C.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Read documents, and make them searchable; unchanged ones are skipped."""
    settings = read_settings()
    fields = FieldNames(id=id_field, title=title_field, content=content_field)
    with bootstrap.ingesting(settings) as run:
        if watch:
            be_interruptible()
        watcher = _watch(run, paths, collection, fields, as_json=as_json) if watch else None
        with _progress(hidden=as_json) as bar:
            task = bar.add_task("", total=None)

            def progress(so_far: IngestSummary) -> None:
                bar.update(task, description=_counts(so_far))

            if watcher:
                summary = watcher.first(sync=sync, progress=progress)
            else:
                summary = run.run(
                    paths, collection=collection, sync=sync, fields=fields, progress=progress
                )
        if as_json:
            print_json(({"event": "ingested"} if watch else {}) | _as_json(summary))
        else:
            _report(summary)
        if watcher:
            if not as_json:
                out.print("Watching; Ctrl-C ends it.")
            watcher.follow(Event())
    if summary.failures:
        raise typer.Exit(EXIT_SOME_FAILED)


def _watch(
    ingest: Ingest, paths: list[str], collection: str, fields: FieldNames, *, as_json: bool
) -> Watch:
    from model_pipeline.watch import Watch  # takes time to import, and few need it

    tell = _tell_json if as_json else _tell
    return Watch(ingest, paths, collection=collection, fields=fields, tell=tell)


def _tell_json(applied: Applied) -> None:
    print_json(applied)


def _tell(applied: Applied) -> None:
    match applied.event:
        case "gone":
            line = f"gone {applied.source}: what is stored of it is kept."
        case "back":
            line = f"back {applied.source}: it is read again."
        case "failed":
            line = f"failed {applied.source}: {applied.reason}"
        case "waiting":
            line = f"waiting: {applied.reason} It is tried again until it answers; nothing is lost."
        case "resumed":
            line = "resumed: the database answers again."
        case _:
            line = f"{applied.event} {applied.source}"
            if applied.documents > 1:
                line += f" ({applied.documents} documents)"
    out.print(safe(line), markup=False, highlight=False, soft_wrap=True)


def _progress(*, hidden: bool) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=hidden or not err.is_terminal,
    )


def _counts(summary: IngestSummary) -> str:
    parts = (
        f"{getattr(summary, name)} {name}"
        for name in ("new", "changed", "unchanged", "removed", "failed")
    )
    return ", ".join(parts)


def _as_json(summary: IngestSummary) -> dict[str, object]:
    return {
        "new": summary.new,
        "changed": summary.changed,
        "unchanged": summary.unchanged,
        "removed": summary.removed,
        "failed": summary.failed,
        "chunks": summary.chunks,
        "seconds": round(summary.seconds, 3),
        "failures": [{"source": source, "reason": why} for source, why in summary.failures],
    }


def _report(summary: IngestSummary) -> None:
    for source, reason in summary.failures[:SHOWN_FAILURES]:
        err.print(f"[red]failed[/red] {escape(safe(source))}: {escape(safe(reason))}")
    if summary.failed > SHOWN_FAILURES:
        err.print(f"... and {summary.failed - SHOWN_FAILURES} more; --json lists all.")
    out.print(f"{_counts(summary)}; {summary.chunks} chunks in {summary.seconds:.1f} s.")
