"""`promptly doctor`: what is wrong with an installation, and what to do about it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import typer

from model_pipeline.errors import ConfigurationError, PromptlyError
from model_pipeline.store import migrations
from promptly import bootstrap
from promptly.cli.output import JsonFlag, out, print_json, safe
from promptly.settings import Settings, read_settings


@dataclass(frozen=True, slots=True)
class Check:
    """`detail` says what was found; where `ok` is False, also what to do."""

    name: str
    ok: bool
    detail: str


def doctor(as_json: JsonFlag = False) -> None:
    """Check the installation; exit status 1 when something is wrong."""
    checks = list(_checks(read_settings()))
    if as_json:
        print_json({"ok": all(check.ok for check in checks), "checks": checks})
    else:
        for check in checks:
            mark = "[green]ok[/green]    " if check.ok else "[red]wrong[/red] "
            out.print(mark, f"{check.name}: ", safe(check.detail), sep="", highlight=False)
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


def _checks(settings: Settings) -> Iterator[Check]:
    yield Check("Python", True, sys.version.split()[0])
    yield _try("folder", lambda: _writable(settings.home))
    yield _try("embedder", lambda: bootstrap.embedder(settings).name)
    try:
        with bootstrap.database(settings) as conninfo:
            yield Check("database", True, "embedded" if not settings.database_url else "by URL")
            yield _try("schema", lambda: _schema(conninfo))
            yield _try("store", lambda: _store(settings))
    except PromptlyError as error:
        yield Check("database", False, error.message)


def _try(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except PromptlyError as error:
        return Check(name, False, error.message)


def _writable(home: Path) -> str:
    try:
        home.mkdir(parents=True, exist_ok=True)
        probe = home / ".probe"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise ConfigurationError(
            f"{home} cannot be written ({error.strerror}): mend it, or set PROMPTLY_HOME."
        ) from error
    return str(home)


def _schema(conninfo: str) -> str:
    missing = [one.version for one in migrations.status(conninfo) if not one.applied]
    if missing:
        raise ConfigurationError(f"{len(missing)} migrations are missing: `promptly db migrate`.")
    return "up to date"


def _store(settings: Settings) -> str:
    with bootstrap.ingesting(settings) as ingest:
        return ingest.check()
