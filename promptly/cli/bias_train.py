"""`promptly bias train`: makes the local judge's file anew from public data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from model_pipeline.errors import ConfigurationError
from promptly.cli.output import JsonFlag, err, out, print_json, safe

Tell = Callable[[str, int, int], None]


def train(
    data: Annotated[
        Path,
        typer.Option(help="The folder of public data sets: toxigen_human and, if there, others."),
    ],
    to: Annotated[
        Path, typer.Option("--out", help="The file that is made; `local:FILE` names it as a judge.")
    ] = Path("judge.safetensors"),
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same file.")] = 0,
    teacher: Annotated[
        str | None,
        typer.Option(
            help="A larger encoder to learn from, whose lower layers read closer: a folder or a "
            "repository; the shipped judge's was sentence-transformers/all-mpnet-base-v2. Without "
            "one it agrees less with people."
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Train the local bias judge, calibrate it, and write its file."""
    if find_spec("torch") is None or find_spec("transformers") is None:
        raise ConfigurationError(
            "Training needs the extra torch: `pip install 'promptly-rag[torch]'`. Judging does not."
        )
    from bias.local.training import make

    with _progress() as tell:
        made = make(data, to, seed=seed, teacher=teacher, tell=tell)
    if as_json:
        print_json(made)
        return
    out.print(
        f"{safe(str(made.path))}: {made.bytes / 1e6:.1f} MB, learnt from {made.learnt:,} texts, "
        f"calibrated on {made.calibrated:,}, sure of {made.coverage:.0%} of them.\n"
        f"{made.signature}",
        highlight=False,
    )


@contextmanager
def _progress() -> Iterator[Tell]:
    """A bar for each stage on a terminal, else a line for each tenth of one."""
    if not err.is_terminal:
        said: set[tuple[str, int]] = set()

        def line(stage: str, done: int, of: int) -> None:
            tenth = 10 * done // of
            if (stage, tenth) not in said:
                said.add((stage, tenth))
                err.print(f"{stage}: {done} of {of}", highlight=False)

        yield line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err) as bar:
        tasks: dict[str, TaskID] = {}

        def draw(stage: str, done: int, of: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=of)
            bar.update(tasks[stage], completed=done)

        yield draw
