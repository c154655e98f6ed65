"""`promptly sources`: where documents come from by themselves, kept up to date by a worker."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape
from rich.table import Column, Table

from model_pipeline.domain import DEFAULT_COLLECTION
from model_pipeline.errors import InvalidInput
from model_pipeline.store.sources import Kind, PgSources, Source
from promptly import bootstrap
from promptly.cli.output import CollectionOption, JsonFlag, out, print_json, safe
from promptly.settings import read_settings

app = typer.Typer(help="Where documents come from, by themselves.", no_args_is_help=True)
add = typer.Typer(help="Add a source; a worker refreshes it at once.", no_args_is_help=True)
app.add_typer(add, name="add")

Into = Annotated[str, typer.Option("--collection", "-c", help="The collection to put them in.")]
Every = Annotated[
    str | None, typer.Option(help="Refresh it every so often: 30m, 1h, 1d. Else when asked.")
]
SourceId = Annotated[UUID, typer.Argument(help="A source's id, as `sources list` shows it.")]
UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@add.command()
def files(
    paths: Annotated[list[str], typer.Argument(help="Files, folders or quoted globs.")],
    collection: Into = DEFAULT_COLLECTION,
    every: Every = None,
    as_json: JsonFlag = False,
) -> None:
    """Files, folders and globs that the worker can read."""
    _add("files", {"paths": [_absolute(path) for path in paths]}, collection, every, as_json)


@add.command()
def web(
    urls: Annotated[list[str] | None, typer.Argument(help="Pages.")] = None,
    sitemap: Annotated[str | None, typer.Option(help="The pages that this sitemap names.")] = None,
    collection: Into = DEFAULT_COLLECTION,
    every: Every = None,
    as_json: JsonFlag = False,
) -> None:
    """Pages of the web: named one by one, or all of a sitemap."""
    if bool(urls) == bool(sitemap):
        raise InvalidInput("Give the addresses of pages, or --sitemap with one's address.")
    _add("web", {"sitemap": sitemap} if sitemap else {"urls": urls}, collection, every, as_json)


@add.command()
def table(
    name: Annotated[str, typer.Argument(help="With its schema, as public.articles.")],
    id: Annotated[str, typer.Option("--id", help="The column that is a row's name.")],
    content: Annotated[str, typer.Option(help="The column with the text.")],
    title: Annotated[str | None, typer.Option(help="The column with the title.")] = None,
    metadata: Annotated[
        list[str] | None, typer.Option(help="A column to filter by; may be given again.")
    ] = None,
    collection: Into = DEFAULT_COLLECTION,
    every: Every = None,
    as_json: JsonFlag = False,
) -> None:
    """The rows of a table of the same database; each change is followed as it is made."""
    given = {"table": name, "id": id, "content": content, "title": title, "metadata": metadata}
    settings = {key: value for key, value in given.items() if value}
    _add("table", settings, collection, every, as_json)


@add.command()
def bucket(
    name: Annotated[str, typer.Argument(help="The bucket in Supabase Storage.")],
    prefix: Annotated[str, typer.Option(help="Only this folder of it.")] = "",
    collection: Into = DEFAULT_COLLECTION,
    every: Every = None,
    as_json: JsonFlag = False,
) -> None:
    """The files of a bucket; the worker needs SUPABASE_URL and SUPABASE_SECRET_KEY."""
    _add("bucket", {"bucket": name, "prefix": prefix}, collection, every, as_json)


@app.command("list")
def list_(collection: CollectionOption = None, as_json: JsonFlag = False) -> None:
    """List sources, with when each was last refreshed and what came of it."""
    found: list[Source] = []
    with sources() as store:
        while page := store.sources(
            collection=collection, limit=1000, after=found[-1].source_id if found else None
        ):
            found += page
    if as_json:
        print_json({"sources": [_plain(one) for one in found]})
        return
    whole = Column("id", min_width=36)  # the other commands take it
    shown = Table(whole, "collection", "kind", "source", "every", "refreshed", "state")
    for one in found:
        shown.add_row(
            str(one.source_id),
            escape(safe(one.collection)),
            one.kind,
            escape(safe(one.name)),
            _every(one.refresh_every_s),
            one.refreshed_at or "never",
            escape(safe(_state(one))),
        )
    out.print(shown)


@app.command()
def refresh(source_id: SourceId, as_json: JsonFlag = False) -> None:
    """Have a worker refresh a source now."""
    with sources() as store:
        store.refresh_source(source_id)
    if as_json:
        print_json({"refreshing": source_id})
    else:
        out.print(f"Source {source_id} is refreshed as soon as a worker is free.")


@app.command()
def remove(source_id: SourceId, as_json: JsonFlag = False) -> None:
    """Remove a source, and the documents that it brought."""
    with sources() as store:
        documents = store.remove_source(source_id)
    if as_json:
        print_json({"removed": source_id, "documents": documents})
    else:
        out.print(f"Removed source {source_id} and the {documents} documents that it brought.")


@contextmanager
def sources() -> Iterator[PgSources]:
    with bootstrap.store(read_settings()) as store:
        yield PgSources(store)


def _add(
    kind: Kind, settings: Mapping[str, Any], collection: str, every: str | None, as_json: bool
) -> None:
    with sources() as store:
        added = store.add_source(
            collection, kind, settings, refresh_every=_interval(every) if every else None
        )
    if as_json:
        print_json(_plain(added))
        return
    line = f"Added source {added.source_id} to {collection}: {added.name}. A worker refreshes it"
    line += f" now and every {every}." if every else " now."
    out.print(safe(line), markup=False, highlight=False, soft_wrap=True)
    out.print("[dim]`promptly up` runs one; elsewhere start `promptly worker`.[/dim]")


def _absolute(path: str) -> str:
    whole = Path(path).expanduser().absolute()
    if not (whole.exists() or glob.has_magic(path)):
        web = "; pages of the web are added by `promptly sources add web`" if "://" in path else ""
        raise InvalidInput(f"{path} does not exist: name a file, a folder or a glob{web}.")
    return str(whole)


def _interval(text: str) -> timedelta:
    match = re.fullmatch(r"([1-9]\d{0,4})([mhd])", text.strip().lower())
    if match is None:
        raise InvalidInput(f"--every is {text!r}: give a number with m, h or d, such as 30m or 1d.")
    return timedelta(**{UNITS[match[2]]: int(match[1])})


def _every(seconds: int | None) -> str:
    if seconds is None:
        return ""
    unit = next(one for one in (86_400, 3_600, 60, 1) if seconds % one == 0)
    return f"{seconds // unit}{ {86_400: 'd', 3_600: 'h', 60: 'm', 1: 's'}[unit] }"


def _state(source: Source) -> str:
    if source.state == "dead":
        return f"given up: {source.reason}"
    if source.state == "running":
        return f"refreshing, {(source.progress or {}).get('found', 0)} so far"
    if source.state == "waiting":
        return f"tried again: {source.reason}" if source.reason else "waiting"
    result = source.last_result or {}
    names = ("new", "changed", "unchanged", "removed", "failed")
    return ", ".join(f"{result[name]} {name}" for name in names if result.get(name))


def _plain(source: Source) -> dict[str, Any]:
    whole: dict[str, Any] = {"name": source.name}
    return whole | {name: getattr(source, name) for name in Source.__slots__}
