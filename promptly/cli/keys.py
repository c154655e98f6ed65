"""`promptly keys`: service keys, with which machines are let in."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated
from uuid import UUID

import typer
from rich.markup import escape
from rich.table import Column, Table

from model_pipeline.domain import Role, ServiceKey
from model_pipeline.errors import InvalidInput
from promptly import bootstrap
from promptly.cli.output import JsonFlag, err, out, plain, print_json, safe
from promptly.settings import read_settings

app = typer.Typer(help="Service keys: how machines are let in.", no_args_is_help=True)
UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
LONGEST = timedelta(days=5 * 366)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    reader: Annotated[
        list[str], typer.Option(help="A collection it may read, by name or id; again for more.")
    ] = [],  # noqa: B006 - Typer's way to say none
    editor: Annotated[
        list[str], typer.Option(help="A collection it may read and change; again for more.")
    ] = [],  # noqa: B006
    expires: Annotated[str, typer.Option(help="After how long: 12h, 90d, 52w.")] = "90d",
    as_json: JsonFlag = False,
) -> None:
    """Make a key. Its secret is shown this once."""
    settings = read_settings()
    scopes: dict[str, Role] = dict.fromkeys(reader, "reader")
    scopes |= dict.fromkeys(editor, "editor")
    with bootstrap.keys(settings) as keys:
        made, token = keys.create(name, scopes, lifetime=_lifetime(expires))
    if as_json:
        print_json({**plain(made), "token": token})
        return
    out.print(f"[bold]{escape(safe(made.name))}[/bold] · {_scopes(made)} · {made.key_id}")
    out.print(f"Until {made.expires_at}. Keep the key now, it is not shown again:\n")
    typer.echo(token)
    if not settings.has_accounts:
        err.print(
            "\nThe service asks for no keys yet: set PROMPTLY_ACCOUNTS=true, or SUPABASE_URL."
        )


@app.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """List keys, what each may use, and when it was last used."""
    with bootstrap.keys(read_settings()) as keys:
        found = keys.all()
    if as_json:
        print_json({"keys": found})
        return
    whole = Column("id", min_width=36)  # `revoke` takes it
    table = Table(whole, "name", "state", "may use", "expires", "last used")
    for key in found:
        table.add_row(
            str(key.key_id),
            escape(safe(key.name)),
            key.state,
            _scopes(key),
            _day(key.expires_at),
            _day(key.last_used_at) if key.last_used_at else "never",
        )
    out.print(table)


@app.command()
def revoke(
    key_id: Annotated[UUID, typer.Argument(help="A key's id, as `keys list` shows it.")],
    as_json: JsonFlag = False,
) -> None:
    """Revoke a key: it opens nothing from now on."""
    with bootstrap.keys(read_settings()) as keys:
        keys.revoke(key_id)
    if as_json:
        print_json({"revoked": key_id})
    else:
        out.print(f"Revoked {key_id}.")


def _scopes(key: ServiceKey) -> str:
    return escape(", ".join(f"{safe(one.name)} ({one.role})" for one in key.scopes)) or "nothing"


def _day(time: str) -> str:
    return time[:16].replace("T", " ")


def _lifetime(text: str) -> timedelta:
    match = re.fullmatch(r"([1-9]\d{0,4})([hdw])", text)
    lifetime = UNITS[match[2]] * int(match[1]) if match else None
    if lifetime is None or lifetime > LONGEST:
        raise InvalidInput(
            f"--expires is {text!r}: give hours, days or weeks such as 12h, 90d or 52w, five years "
            "at most."
        )
    return lifetime
