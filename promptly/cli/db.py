"""`promptly db`: the schema, and all of the store in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from model_pipeline.store import dump as dumps
from model_pipeline.store import migrations
from promptly import bootstrap
from promptly.cli.output import JsonFlag, out, print_json, safe
from promptly.settings import read_settings

app = typer.Typer(help="The database: its schema, and dumps of it.", no_args_is_help=True)


@app.command()
def migrate(as_json: JsonFlag = False) -> None:
    """Bring the schema up to date; doing it twice does nothing."""
    settings = read_settings()
    with bootstrap.database(settings) as conninfo:
        applied = migrations.migrate(conninfo)
    if as_json:
        print_json({"applied": applied})
    else:
        out.print(f"Applied: {', '.join(applied)}." if applied else "The schema is up to date.")


@app.command()
def status(as_json: JsonFlag = False) -> None:
    """Which migrations the database has."""
    settings = read_settings()
    with bootstrap.database(settings) as conninfo:
        known = migrations.status(conninfo)
    if as_json:
        print_json({"migrations": known})
        return
    table = Table("version", "name", "applied")
    for migration in known:
        table.add_row(migration.version, migration.name, "yes" if migration.applied else "no")
    out.print(table)


@app.command()
def dump(
    file: Annotated[Path, typer.Argument(help="The file to write.")], as_json: JsonFlag = False
) -> None:
    """Write all collections, documents, chunks with vectors, answers and feedback to a file."""
    settings = read_settings()
    with bootstrap.database(settings) as conninfo:
        rows = dumps.dump(conninfo, file)
    _report(rows, f"Dumped to {file}", as_json=as_json)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A file from `promptly db dump`.")],
    as_json: JsonFlag = False,
) -> None:
    """Put a dump into an empty database, all of it or nothing."""
    settings = read_settings()
    with bootstrap.database(settings) as conninfo:
        rows = dumps.restore(conninfo, file)
    _report(rows, f"Restored from {file}", as_json=as_json)


def _report(rows: dict[str, int], done: str, *, as_json: bool) -> None:
    if as_json:
        print_json(rows)
        return
    counts = ", ".join(f"{count} {table}" for table, count in rows.items())
    out.print(safe(f"{done}: {counts}."), markup=False, highlight=False, soft_wrap=True)
