"""`promptly reembed`: another embedder, while searches and ingests go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from model_pipeline import reembed as switching
from model_pipeline.embedding.factory import SENTENCE_TRANSFORMERS, require_spec
from model_pipeline.reembed import Reembed, Reembedded, ReembedProgress
from model_pipeline.store.standby import standby_status
from promptly import bootstrap
from promptly.cli.interrupt import be_interruptible
from promptly.cli.output import JsonFlag, err, plain, print_json, say
from promptly.settings import read_settings

app = typer.Typer(help="Switch the store to another embedder, while everything goes on.")
ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="The new embedder, as PROMPTLY_EMBEDDER names it."),
]
Tell = Callable[[ReembedProgress], None]


@app.callback(invoke_without_command=True)
def reembed(context: typer.Context, model: ModelOption = None, as_json: JsonFlag = False) -> None:
    """Switch to the embedder --model: its vectors are made beside the old ones, then swapped in.

    Stopped or killed at any moment, the same command goes on. The old vectors are kept until
    `promptly reembed confirm`.
    """
    if context.invoked_subcommand is not None:
        if model is not None:
            raise typer.BadParameter("it starts a switch, and stands alone", param_hint="--model")
        return
    if model is None:
        raise typer.BadParameter("name the new embedder", param_hint="--model")
    require_spec(model)
    settings = read_settings()
    be_interruptible()
    with bootstrap.database(settings) as conninfo:
        embedder = bootstrap.embedder(settings, _absolute(model))
        with _progress(as_json=as_json) as tell:
            done = Reembed(conninfo, embedder, progress=tell).run()
    _report(done, as_json=as_json)


@app.command()
def status(as_json: JsonFlag = False) -> None:
    """Which embedder is active, and how far a switch is."""
    with bootstrap.database(read_settings()) as conninfo:
        found = standby_status(conninfo)
    if as_json:
        print_json({**plain(found), "since": found.since and found.since.isoformat()})
        return
    say(f"Active: {found.active.name}." if found.active else "No embedder is noted yet.")
    standby = found.standby
    if standby is None:
        say("No switch is under way.")
    elif standby.state == "previous":
        say(
            f"Switched from {standby.name}, whose vectors are kept: `promptly reembed confirm` "
            "drops them, `promptly reembed back` returns to them."
        )
    else:
        how = "Being switched" if found.running else "A switch was begun and stopped"
        say(
            f"{how}: {found.filled} of {found.chunks} chunks have a vector of {standby.name}."
            + ("" if found.running else f" `promptly reembed --model {standby.spec}` goes on.")
        )


@app.command()
def back(as_json: JsonFlag = False) -> None:
    """Return to the previous embedder, as long as the switch is not confirmed."""
    settings = read_settings()
    be_interruptible()
    with bootstrap.database(settings) as conninfo, _progress(as_json=as_json) as tell:
        done = switching.back(conninfo, partial(bootstrap.embedder, settings), progress=tell)
    _report(done, as_json=as_json)


@app.command()
def confirm(as_json: JsonFlag = False) -> None:
    """Keep the new embedder, and drop the vectors of the previous one."""
    with bootstrap.database(read_settings()) as conninfo:
        freed = switching.confirm(conninfo)
    _report_dropped(freed, as_json=as_json)


@app.command()
def cancel(as_json: JsonFlag = False) -> None:
    """Give up a switch that is not done yet."""
    with bootstrap.database(read_settings()) as conninfo:
        freed = switching.cancel(conninfo)
    _report_dropped(freed, as_json=as_json)


@contextmanager
def _progress(*, as_json: bool) -> Iterator[Tell]:
    """A bar on a terminal; one JSON object a batch with --json."""
    if as_json:
        yield lambda so_far: print_json({"event": "progress", **plain(so_far)})
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.0f}/s"),
        TextColumn("{task.fields[left]}"),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    ) as bar:
        task = bar.add_task("", total=None, rate=0.0, left="")

        def tell(so_far: ReembedProgress) -> None:
            left = (so_far.chunks - so_far.filled) / so_far.rate if so_far.rate else 0
            bar.update(
                task,
                description=so_far.phase,
                completed=so_far.filled,
                total=so_far.chunks,
                rate=so_far.rate,
                left=f"{timedelta(seconds=round(left))} left" if left else "",
            )

        yield tell


def _absolute(model: str) -> str:
    """A folder by its full path: services open it too, from wherever they were started."""
    path = Path(model.removeprefix(SENTENCE_TRANSFORMERS)).expanduser()
    if model.startswith(SENTENCE_TRANSFORMERS) and path.is_dir():
        return f"{SENTENCE_TRANSFORMERS}{path.resolve()}"
    return model


def _report(done: Reembedded, *, as_json: bool) -> None:
    if as_json:
        print_json({"event": done.outcome.replace(" ", "_"), **plain(done)})
    elif done.outcome == "already active":
        say(f"{done.embedder} is the active embedder: nothing was left to do.")
    else:
        say(
            f"Switched to {done.embedder}: {done.embedded} chunks embedded in {done.seconds:.1f} "
            f"s; searches waited {done.locked_s * 1000:.0f} ms. The old vectors are kept: "
            "`promptly reembed confirm` drops them, `promptly reembed back` returns to them."
        )


def _report_dropped(freed: int | None, *, as_json: bool) -> None:
    if as_json:
        print_json({"dropped": freed is not None, "index_bytes": freed or 0})
    elif freed is None:
        say("There are no other vectors: nothing was done.")
    else:
        say(
            f"Dropped. The index's {freed / 1e6:.1f} MB are free; the rows' space is used again as "
            "documents change."
        )
