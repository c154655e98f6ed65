"""`promptly doctor`: what is wrong with an installation, and what to do about it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from model_pipeline.domain import Embedder
from model_pipeline.embedding.factory import DEFAULT
from model_pipeline.errors import ConfigurationError, PromptlyError, Unavailable
from model_pipeline.store.diagnosis import Finding, diagnose
from promptly import bootstrap
from promptly.cli.output import JsonFlag, out, print_json, safe
from promptly.settings import Settings, read_settings
from rag_service.outbox_files import DEAD, owed

MARKS = {
    "ok": "[green]ok[/green]      ",
    "warning": "[yellow]warning[/yellow] ",
    "error": "[red]wrong[/red]   ",
}
# What waits is stored within seconds where an API runs and the database is there.
LATE = timedelta(minutes=1)
FixFlag = Annotated[bool, typer.Option("--fix", help="Mend what is safe to mend.")]
DeepFlag = Annotated[bool, typer.Option("--deep", help="Read every row, of a large store too.")]


def doctor(fix: FixFlag = False, deep: DeepFlag = False, as_json: JsonFlag = False) -> None:
    """Check the installation; exit status 1 when something is wrong, 4 without a database."""
    findings: list[Finding] = []
    away = False
    try:
        for finding in _findings(read_settings(), fix=fix, deep=deep):
            findings.append(finding)
            if not as_json:
                _show(finding)
    except PromptlyError as error:
        away = isinstance(error, Unavailable)
        findings.append(Finding("database", "error", error.message))
        if not as_json:
            _show(findings[-1])
    wrong = any(finding.state == "error" for finding in findings)
    if as_json:
        print_json({"ok": not wrong, "checks": findings})
    if wrong:
        raise typer.Exit(4 if away else 1)


def _show(finding: Finding) -> None:
    detail = f"{finding.mended}; {finding.detail}" if finding.mended else finding.detail
    out.print(MARKS[finding.state], f"{finding.name}: ", safe(detail), sep="", highlight=False)


def _findings(settings: Settings, *, fix: bool, deep: bool) -> Iterator[Finding]:
    """Raises PromptlyError where the database lets us not look."""
    yield Finding("Python", "ok", sys.version.split()[0])
    yield _try("folder", lambda: _writable(settings.home))
    yield _outbox(settings.outbox_dir)
    yield _try("generator", lambda: _generator(settings))
    opened: list[Embedder] = []

    def open_embedder(spec: str | None) -> str:
        opened.append(bootstrap.embedder(settings, spec or DEFAULT))
        by = getattr(opened[0], "by", None)  # the ONNX one's, to be told and nothing else
        return f"{opened[0].name}, {by}" if by else opened[0].name

    with bootstrap.database(settings) as conninfo:
        spec = settings.embedder or _stored_spec(conninfo)
        yield _try("embedder", lambda: open_embedder(spec))
        embedder = (opened[0].name, opened[0].dimensions) if opened else None
        for place, finding in enumerate(diagnose(conninfo, embedder=embedder, deep=deep, fix=fix)):
            if not place:  # it let us in
                yield Finding("database", "ok", "by URL" if settings.database_url else "embedded")
            yield finding


def _outbox(folder: Path) -> Finding:
    """Whether answers and feedback get to where they are kept."""
    try:
        found = owed(folder)
    except OSError as error:
        return Finding("outbox", "error", f"{folder} cannot be read ({error.strerror}): mend it.")
    told = []
    if found.dead:
        told.append(
            f"{found.dead} were refused for good, the last because: {found.reason} Read "
            f"{folder / DEAD}, and remove it when you have done what can be done"
        )
    if found.since and datetime.now(UTC) - found.since > LATE:
        told.append(
            f"{found.waiting} wait for the database, the first since "
            f"{found.since:%Y-%m-%d %H:%M} UTC: start the API, which stores them as soon as the "
            "database is there"
        )
    if told:
        return Finding("outbox", "warning", f"Of answers and feedback {'; '.join(told)}.")
    return Finding("outbox", "ok", f"{found.waiting} waiting")


def _generator(settings: Settings) -> str:
    from promptly import generators  # takes time to import, and few commands need it

    return asyncio.run(generators.check(settings))


def _stored_spec(conninfo: str) -> str | None:
    """What opens the store's embedder; None where it does not say: why is found later."""
    try:
        with bootstrap.open_store(conninfo) as store:
            known = store.embedders()
    except PromptlyError:
        return None
    return known[0].spec if known and known[0].state == "active" else None


def _try(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, "ok", look())
    except PromptlyError as error:
        return Finding(name, "error", error.message)


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
