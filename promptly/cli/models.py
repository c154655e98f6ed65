"""`promptly models`: versions of fine-tuned models on the Hub, and which one is in production."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from model_pipeline.errors import InvalidInput, NotFound
from model_pipeline.store.versions import Entry, ModelVersion, PgVersions, in_production
from promptly.cli.interrupt import be_interruptible
from promptly.cli.output import JsonFlag, err, out, plain, print_json, safe, say
from promptly.settings import read_settings

app = typer.Typer(
    help="Versions of models on the Hub, and which one is in production.", no_args_is_help=True
)
EXIT_FAULTS = 1
VersionArgument = Annotated[str, typer.Argument(help="owner/name@v2, or a commit after the @.")]
RepoArgument = Annotated[str, typer.Argument(help="A repository of the Hub: owner/name.")]
ReasonOption = Annotated[str, typer.Option(help="Why, for the ledger.")]
ByOption = Annotated[str | None, typer.Option(help="Who, for the ledger; by default this user.")]


@app.command()
def publish(
    folder: Annotated[Path, typer.Argument(help="What a fine-tune left, with its manifest.")],
    repo: RepoArgument,
    kind: Annotated[
        Literal["adapter", "merged"], typer.Option(help="The adapter alone, or the whole model.")
    ] = "adapter",
    base: Annotated[
        str | None,
        typer.Option(help="owner/name@commit that it was made from, where a folder was."),
    ] = None,
    license: Annotated[
        str | None, typer.Option(help="As the Hub names it, such as apache-2.0.")
    ] = None,
    language: Annotated[str | None, typer.Option(help="Of the documents, such as en.")] = None,
    scorecard: Annotated[
        Path | None, typer.Option(help="What it measures up to: a file of `promptly evaluate`.")
    ] = None,
    bias_report: Annotated[
        Path | None, typer.Option(help="The JSON of `promptly bias report`.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="The folder with the training data, for its counts.")
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="A new repository is for everybody.")
    ] = False,
    reason: ReasonOption = "a new version",
    by: ByOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Publish what a fine-tune made as a version; the same again is the same version."""
    from promptly import publishing

    settings = read_settings()
    be_interruptible()
    facts = publishing.card_facts(
        license=license, language=language, scorecard=scorecard, bias_report=bias_report, data=data
    )
    made = publishing.publish(
        settings, folder, repo, kind=kind, card=facts, base=base, private=not public,
        reason=reason, by=_who(by), tell=_tell,
    )  # fmt: skip
    if as_json:
        print_json({**_object(made.version), "fresh": made.fresh, "url": made.url,
                    "left_out": made.left_out})  # fmt: skip
        return
    said = "is published" if made.fresh else "was published before"
    say(f"{made.version.name} {said}: {made.url}")
    say(f"PROMPTLY_GENERATOR={made.version.generator}")


@app.command("list")
def list_(
    repo: Annotated[str | None, typer.Argument(help="Only this repository.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """All versions, and which are in production."""
    from promptly import publishing

    with publishing.versions(read_settings()) as records:
        found = records.versions(repo)
        live = {one: _production(records, one) for one in {each.repo for each in found}}
    if as_json:
        print_json({"versions": [
            _object(one) | {"production": live[one.repo] == one.commit} for one in found
        ]})  # fmt: skip
        return
    if not found:
        out.print("No versions." if repo is None else f"No versions of {safe(repo)}.")
        return
    table = Table("version", "kind", "commit", "data", "")
    for one in found:
        said = "[green]production[/]" if live[one.repo] == one.commit else ""
        table.add_row(
            safe(one.name), one.kind, one.commit[:12], (one.dataset_hash or "")[:12], said
        )
    out.print(table)


@app.command()
def show(
    version: Annotated[
        str, typer.Argument(help="owner/name@v2; without the tag, what is in production.")
    ],
    as_json: JsonFlag = False,
) -> None:
    """One version, how the service loads it, and what the ledger says."""
    from promptly import publishing

    repo, _, name = version.partition("@")
    with publishing.versions(read_settings()) as records:
        live = _production(records, repo)
        if not name and live is None:
            raise NotFound(f"Nothing of {repo} is in production: name a version, as in {repo}@v1.")
        found = records.version(repo, name or str(live))
        entries = records.entries(repo)
    own = [one for one in entries if one.commit == found.commit]
    if as_json:
        print_json({**_object(found), "production": live == found.commit, "ledger": _ledger(own)})
        return
    state = ", in production" if live == found.commit else ""
    say(f"{found.name}: {found.kind}{f' of {found.base}' if found.base else ''}{state}")
    say(f"PROMPTLY_GENERATOR={found.generator}")
    say(f"Commit {found.commit}; training data {found.dataset_hash or 'unknown'}.")
    for one in own:
        said = one.action.replace("_", " ")
        say(f"{one.created_at:%Y-%m-%d %H:%M} {said} by {one.made_by}: {one.reason}")


@app.command()
def verify(version: VersionArgument, as_json: JsonFlag = False) -> None:
    """Download a version and compare each file with its manifest; exit status 1 if any differs."""
    from promptly import publishing
    from training.hub.publish import verify as verify_version

    settings = read_settings()
    with publishing.versions(settings) as records:
        found = _version(records, version)
    _tell(f"Downloading {found.name}.")
    faults = verify_version(publishing.hub(settings, _tell), found)
    if as_json:
        print_json({**_object(found), "faults": faults})
    else:
        for fault in faults:
            say(fault)
        say(f"{found.name} is {'not ' if faults else ''}what was published.")
    if faults:
        raise typer.Exit(EXIT_FAULTS)


@app.command()
def promote(
    version: VersionArgument, reason: ReasonOption, by: ByOption = None, as_json: JsonFlag = False
) -> None:
    """Put a version in production: in the ledger, then MLflow's alias and the Hub's tag."""
    from promptly import publishing

    with publishing.pointers(read_settings(), _tell) as pointers:
        found = _version(pointers.versions, version)
        moved = pointers.point(found, "promoted", reason=reason, by=_who(by))
    _moved(found, moved, as_json=as_json)


@app.command()
def rollback(
    repo: RepoArgument,
    reason: ReasonOption,
    to: Annotated[
        str | None, typer.Option(help="A tag, such as v1; by default what was there before.")
    ] = None,
    by: ByOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Go back to a version that was in production before; no weights are moved."""
    from promptly import publishing

    with publishing.pointers(read_settings(), _tell) as pointers:
        found = pointers.versions.version(repo, to) if to else pointers.before(repo)
        moved = pointers.point(found, "rolled_back", reason=reason, by=_who(by))
    _moved(found, moved, as_json=as_json)


def _version(records: PgVersions, reference: str) -> ModelVersion:
    repo, at, name = reference.partition("@")
    if not at or not name:
        raise InvalidInput(f"Name a version, as in {repo}@v1: `promptly models list` shows them.")
    return records.version(repo, name)


def _production(records: PgVersions, repo: str) -> str | None:
    return next(reversed(in_production(records.entries(repo))), None)


def _moved(version: ModelVersion, moved: bool, *, as_json: bool) -> None:
    if as_json:
        print_json({**_object(version), "moved": moved})
        return
    say(f"{version.name} is in production{'' if moved else ', as it was'}.")
    say(f"PROMPTLY_GENERATOR={version.generator}")


def _object(version: ModelVersion) -> dict[str, Any]:
    return {**plain(version), "name": version.name, "generator": version.generator}


def _ledger(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    return [plain(one) | {"created_at": one.created_at.isoformat()} for one in entries]


def _who(given: str | None) -> str:
    try:
        return given or getpass.getuser()
    except OSError:  # a container's user may have no name
        return "unknown"


def _tell(line: str) -> None:
    err.print(safe(line), markup=False, highlight=False, soft_wrap=True)
