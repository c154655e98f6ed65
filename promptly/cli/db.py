"""`promptly db`: the schema."""

from __future__ import annotations

import typer
from rich.table import Table

from model_pipeline.store import migrations
from promptly import bootstrap
from promptly.cli.output import JsonFlag, out, print_json
from promptly.settings import read_settings

app = typer.Typer(help="The database's schema.", no_args_is_help=True)


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
