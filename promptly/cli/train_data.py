"""`promptly train data`: what the database knows, as rows to fine-tune a model on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from model_pipeline import params
from model_pipeline.errors import InvalidInput
from model_pipeline.evaluation import wording
from promptly.cli.interrupt import be_interruptible
from promptly.cli.output import JsonFlag, print_json, say
from promptly.cli.progress import bar
from promptly.settings import read_settings
from training.config import FinetuneConfig

if TYPE_CHECKING:
    from training.data.make import Made


def data(
    collection: Annotated[
        list[str] | None,
        typer.Option("--collection", "-c", help="Only these; may be repeated. By default all."),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--out", help="The folder to write; by default training-data at home."),
    ] = None,
    n: Annotated[int, typer.Option("--n", min=1, max=1_000_000, help="The most rows.")] = 5_000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same data.")] = 0,
    validation: Annotated[
        float, typer.Option(min=0, max=0.5, help="The share of documents kept to validate with.")
    ] = 0.1,
    by: Annotated[
        Literal["rules", "model"], typer.Option(help="Who words the questions.")
    ] = "rules",
    parameters: Annotated[
        Path | None,
        typer.Option("--params", help="`finetune:` of this file, in place of the shipped one."),
    ] = None,
    https: Annotated[
        bool,
        typer.Option("--https", help="Through SUPABASE_URL and its secret key alone."),
    ] = False,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="In the database too, for notebooks that have only HTTPS."),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Make training data of documents and of corrected and liked answers."""
    from promptly import training_data  # takes time to import, and few need it
    from training.data.files import require_ours
    from training.data.make import Wanted, make

    wanted = Wanted(n=n, validation=validation, seed=seed, collections=tuple(collection or ()))
    config = FinetuneConfig.from_dict(params.section("finetune", parameters))
    settings = read_settings()
    to = (folder or settings.training_data_dir).expanduser().absolute()
    require_ours(to)
    be_interruptible()
    if https and by == "model":
        raise InvalidInput("--by model searches for what it asks: leave --https away.")
    with (
        bar(hidden=as_json) as tell,
        training_data.source(
            settings, config, https=https, by_model=by == "model", seed=seed, tell=tell
        ) as source,
    ):
        material = training_data.collected(source.door, wanted.collections)
        made = make(material, source.tools, wanted, to, tell)
        if keep:
            source.keep(made)
    if as_json:
        print_json(_as_object(made))
    else:
        _show(made)


def _as_object(made: Made) -> dict[str, Any]:
    return {"folder": str(made.folder), "hash": made.hash, "counts": made.counts.as_object()}


def _show(made: Made) -> None:
    from training.data.card import WHY

    counts = made.counts
    sources = ", ".join(f"{many:,} {name}" for name, many in counts.by("source").items())
    declined = counts.by("answer").get("declined", 0)
    say(
        f"{wording.count(counts.rows(), 'row')} ({sources}; {declined:,} decline): "
        f"{counts.rows('train'):,} to train on, {counts.rows('validation'):,} to validate with."
    )
    for name, many in counts.left_out.most_common():
        if many:
            say(f"Left out: {many:,} that {WHY[name]}.")
    say(f"In {made.folder}, with its card; hash {made.hash[:12]}.")
