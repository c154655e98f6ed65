"""`promptly bias validate`: whether a judge of bias can be relied on."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from bias.local.examples import Part, part
from model_pipeline.errors import InvalidInput
from promptly.bias_judges import open_judge
from promptly.cli.bad_input import bad_input_tells
from promptly.cli.interrupt import be_interruptible
from promptly.cli.output import JsonFlag, log_errors_alone, out, print_json, safe, say, write_files
from promptly.cli.progress import Tell, bar
from promptly.settings import Settings, read_settings

if TYPE_CHECKING:
    from bias.labels import LabelSet
    from bias.validation import LeftOut, Validation

EXIT_MISSED = 1
RATED = "toxigen_dev_even.jsonl"
JudgeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--judge",
        help="local, local:FILE, openai:<base url>#<model> or transformers:<model>; several are "
        "one ensemble, with weights as in 2*local. By default local.",
    ),
]


def validate(
    data: Annotated[
        Path | None,
        typer.Option(help=f"A folder with {RATED}: ToxiGen's human ratings."),
    ] = None,
    labels: Annotated[
        list[Path] | None,
        typer.Option(help="A label set: JSONL, JSON, CSV or TSV; may be given again."),
    ] = None,
    text_field: Annotated[str, typer.Option(help="Of the label sets.")] = "text",
    label_field: Annotated[str, typer.Option(help="Of the label sets.")] = "label",
    group_field: Annotated[
        str, typer.Option(help="Of the label sets: whom it is about, one name or a list.")
    ] = "group",
    scale: Annotated[
        str, typer.Option(help="Of ratings: WORST..BEST, as 5..1 where 5 is the most harmful.")
    ] = "1..5",
    harmful_value: Annotated[
        list[str] | None,
        typer.Option(help="A label that means harmful, where labels are no ratings; all others "
                     "mean harmless."),
    ] = None,
    judge: JudgeOption = None,
    leave_groups_out: Annotated[
        bool,
        typer.Option(
            "--leave-groups-out",
            help="With --data: train local judges without each group, too, which takes long.",
        ),
    ] = False,
    teacher: Annotated[
        str | None, typer.Option(help="With --leave-groups-out: as `promptly bias train` has it.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help="At most so many texts of each part.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of drawing and resampling.")] = 0,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Write JSON, Markdown and a page here.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:  # fmt: skip
    """Hold a judge against people's labels, and against changes that must not matter.

    Exit status: 0 all bars met, 1 a bar missed, 2 bad input.
    """
    from bias.labels import Fields, parse_scale, read_labels
    from bias.validation import validate as validated
    from bias.validation_report import as_object

    settings = read_settings()
    be_interruptible()
    log_errors_alone()
    with bad_input_tells(), bar(hidden=as_json) as tell:
        if teacher and not leave_groups_out:
            raise InvalidInput("--teacher is of --leave-groups-out: give that, too.")
        fields = Fields(
            text_field, label_field, group_field, parse_scale(scale), frozenset(harmful_value or ())
        )
        sets = [read_labels(path, fields) for path in labels or ()]
        if data is not None:
            sets.insert(0, _rated(data, "test"))
        found = validated(
            open_judge(judge or (), settings, progress=partial(tell, "asked")),
            sets,
            seed=seed,
            again=open_judge(judge or (), settings, remembers=False),
            left_out=_left_out(data, teacher, seed, settings, tell) if leave_groups_out else None,
            sample=sample,
            tell=tell,
        )
        if folder is not None:
            write(found, folder)
    object_ = as_object(found)
    if as_json:
        print_json(object_)
    else:
        _print(found, folder)
    if not object_["met"]:
        raise typer.Exit(EXIT_MISSED)


def _rated(folder: Path, wanted: Part | None) -> LabelSet:
    """ToxiGen's human ratings, of one part; None is all."""
    from bias.labels import Fields, LabelSet, read_labels

    places = [folder / RATED, folder / "toxigen_human" / RATED]
    path = next((one for one in places if one.is_file()), None)
    if path is None:
        raise InvalidInput(f"There is no {RATED} in {folder}: see docs/bias.md for what it holds.")
    found = read_labels(path, Fields("text", "toxicity_score", "target_groups", (5, 1)))
    rows = tuple(row for row in found.rows if wanted in (None, part(row.text)))
    return LabelSet("toxigen", rows)


def _left_out(
    data: Path | None, teacher: str | None, seed: int, settings: Settings, tell: Tell
) -> LeftOut:
    from bias.validation import leave_groups_out
    from promptly.bias_training import trainer

    if data is None:
        raise InvalidInput("--leave-groups-out trains on what --data holds: give it.")
    learnt = [row for row in _rated(data, None).rows if part(row.text) != "test"]
    held = _rated(data, "test").rows
    with trainer(
        data, cache_dir=settings.cache_dir, threads=settings.threads, teacher=teacher, tell=tell
    ) as train:
        return leave_groups_out(train, learnt, held, seed=seed, tell=tell)


def write(found: Validation, folder: Path) -> None:
    """validation.json, .md and .html; the same bytes for the same verdicts."""
    from bias.validation_report import as_object, html, markdown

    write_files(
        folder,
        {
            "validation.json": json.dumps(as_object(found), indent=1) + "\n",
            "validation.md": markdown(found),
            "validation.html": html(found),
        },
    )


def _print(found: Validation, folder: Path | None) -> None:
    from bias.validation_report import headline, tables

    for one in tables(found):
        if one.is_detail:
            say(f"{one.title} {one.lead}")
            continue
        right = [Column(escape(safe(head)), justify="right") for head in one.heads[1:]]
        table = Table(one.heads[0], *right, title=escape(safe(one.title)), title_justify="left")
        for row in one.rows:
            table.add_row(*(escape(safe(cell)) for cell in row))
        out.print(table)
        if one.lead:
            say(one.lead)
    say(f"Judge: {found.signature}")
    say(headline(found))
    if folder is not None:
        say(f"Report: {folder / 'validation.html'}")
