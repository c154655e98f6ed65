"""`promptly train local`: fine-tunes on this machine, on its GPUs where it has any."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from model_pipeline import params
from promptly.cli.output import JsonFlag, err, out, print_json, safe
from promptly.cli.progress import bar
from training.config import FinetuneConfig

if TYPE_CHECKING:
    from training.finetune import Outcome
    from training.learning.progress import Tell


def local(
    data: Annotated[Path, typer.Argument(help="A folder that `promptly train data` made.")],
    to: Annotated[
        Path, typer.Option("--out", help="The folder that is made, or that goes on.")
    ] = Path("finetune"),
    base: Annotated[
        Path | None, typer.Option(help="The base model's folder, in place of the Hub's.")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="What an earlier session left elsewhere: it goes on from there."),
    ] = None,
    parameters: Annotated[
        Path | None,
        typer.Option("--params", help="`finetune:` of this file, in place of the shipped one."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Fine-tune a language model here. Ctrl-C leaves a checkpoint; the same command goes on."""
    from training.finetune import finetune

    config = FinetuneConfig.from_dict(params.section("finetune", parameters))
    with _told(hidden=as_json) as tell, _stopping() as stop:
        made = finetune(data, to, config, base=base, resume=resume, tell=tell, stop=stop)
    if as_json:
        print_json({"folder": str(made.folder), "finished": made.finished, **made.metrics})
        return
    out.print(_said(made), highlight=False)


@contextmanager
def _told(*, hidden: bool) -> Iterator[Tell]:
    """A bar on a terminal, else a line for each twentieth."""
    from training.learning.progress import lines

    if not err.is_terminal:
        yield lines(lambda line: None if hidden else err.print(line, highlight=False))
        return
    with bar(hidden=hidden) as draw:
        yield lambda one: draw(str(one).partition(":")[0], one.done, one.of)


@contextmanager
def _stopping() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or SIGTERM came: the first lets the step end, a second does not wait."""
    asked = False

    def ask(_signal: int, _frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        err.print("Stopping after this step; once more stops at once.")

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, ask) for number in numbers]
    try:
        yield lambda: asked
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _said(made: Outcome) -> str:
    training, session = made.metrics["training"], made.metrics["session"]
    folder = safe(str(made.folder))
    if not made.finished:
        return (
            f"Stopped after {training['steps']:,} of {training['of_steps']:,} steps: the same "
            f"command goes on from {folder}."
        )
    loss, memory = training["validation_loss"], session["peak_memory_bytes"]
    validated = f", validation loss {loss:.4f}" if loss is not None else ""
    held = f", {memory / 2**30:.1f} GiB at most" if memory else ""
    pace = f"{session['tokens_per_s']:,.0f} tokens/s" if session["tokens_per_s"] else "no steps"
    return (
        f"{folder}: {training['steps']:,} steps, {training['ended']}; loss "
        f"{training['first_loss']:.4f} to {training['last_loss']:.4f}{validated}; {pace}{held}."
    )
