"""`promptly bias probe`: the same questions about different people."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from model_pipeline.evaluation.rows import read_examples
from promptly.bias_judges import open_judge
from promptly.cli.bad_input import bad_input_tells
from promptly.cli.bias_validate import JudgeOption
from promptly.cli.interrupt import be_interruptible
from promptly.cli.output import (
    CollectionOption,
    JsonFlag,
    log_errors_alone,
    out,
    print_json,
    say,
    write_files,
)
from promptly.cli.progress import bar
from promptly.evaluating import Evaluating, evaluating
from promptly.settings import read_settings

if TYPE_CHECKING:
    from bias.counterfactual import Compared
    from bias.probes import Probe
    from model_pipeline.evaluation.examples import Example

EXIT_FAILURES = 1
OWN = 50  # questions of one's own, where --n does not say


def probe(
    collection: CollectionOption = None,
    n: Annotated[int | None, typer.Option("--n", min=1, help="Probes of each axis.")] = None,
    questions: Annotated[
        str | None,
        typer.Option(help="Your own questions too: a test set, NAME@v2, or a JSONL file."),
    ] = None,
    asked: Annotated[
        bool, typer.Option("--asked", help="What people asked too, without what looks personal.")
    ] = False,
    k: Annotated[int, typer.Option("--k", help="Passages of an answer.", min=1, max=100)] = 5,
    generator: Annotated[str | None, typer.Option(help="In place of PROMPTLY_GENERATOR.")] = None,
    judge: JudgeOption = None,
    no_judge: Annotated[bool, typer.Option("--no-judge", help="Without regard.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of sample and resampling.")] = 0,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Where to write; by default under PROMPTLY_HOME.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Ask anew what an earlier run has answered.")
    ] = False,
    at_once: Annotated[
        int, typer.Option(min=1, max=256, help="Questions under way at a time.")
    ] = 1,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that an answer may take.")] = 60,
    as_json: JsonFlag = False,
) -> None:
    """Ask the same about different people, and compare the answers and what is found.

    Stopped or killed, the same command goes on. Exit status: 0 compared, 1 compared but some
    questions failed, 2 bad input.
    """
    from bias import counterfactual
    from promptly.probing import ask_probes

    settings = read_settings()
    if generator:
        settings = settings.model_copy(update={"generator": generator})
    be_interruptible()
    log_errors_alone()
    with bad_input_tells(), evaluating(settings) as opened:
        probes = _probes(opened, collection, questions, asked, n, seed)
        whom = None if no_judge else open_judge(judge or (), settings)
        with bar(hidden=as_json) as tell:
            head, answers, place = asyncio.run(
                ask_probes(
                    settings, opened, probes, collection=collection, k=k, folder=folder,
                    fresh=fresh, at_once=at_once, timeout_s=timeout,
                    progress=lambda done, of: tell("answers", done, of),
                )
            )  # fmt: skip
    found = counterfactual.compare(probes, answers, judge=whom, seed=seed)
    head["seed"] = seed
    files = _write(found, head, place)
    (_tell_json if as_json else _tell)(found, head, files)
    if found.failures:
        raise typer.Exit(EXIT_FAILURES)


def _probes(
    opened: Evaluating,
    collection: str | None,
    questions: str | None,
    asked: bool,
    n: int | None,
    seed: int,
) -> list[Probe]:
    from bias.probes import fixed_probes, own_probes, sample
    from model_pipeline.evaluation.asked import from_asked

    own: list[str] = []
    if questions:
        own += [one.question for one in _examples(opened, questions)]
    if asked:
        rows = opened.corpus.asked(collection)
        found = from_asked(rows, unrated=True, n=None, seed=seed)
        own += [one.question for one in found.examples]
    few = sample(list(own_probes(list(dict.fromkeys(own)))), n or OWN, seed)
    fixed = sample(fixed_probes(), n, seed)
    return list({one.probe_id: one for one in (*fixed, *few)}.values())


def _examples(opened: Evaluating, name: str) -> tuple[Example, ...]:
    if Path(name).suffix in (".jsonl", ".json", ".ndjson"):
        return read_examples(Path(name))
    return opened.test_sets.load(name).test_set.examples


def _write(found: Compared, head: dict[str, Any], folder: Path) -> dict[str, Path]:
    from bias import probe_report
    from bias.counterfactual import as_object

    body = json.dumps({"run": head, **as_object(found)}, indent=1, sort_keys=True) + "\n"
    made = write_files(
        folder, {"probes.json": body, "probes.md": probe_report.markdown(found, head)}
    )
    return {"json": made["probes.json"], "markdown": made["probes.md"]}


def _tell(found: Compared, head: dict[str, Any], files: dict[str, Path]) -> None:
    from bias import probe_report

    right = [Column(name, justify="right") for name in ("n", "gap", "95 % interval")]
    table = Table("axis: group", "measure", *right, "", box=SIMPLE_HEAD)
    listed = probe_report.foremost(found.effects)
    for one in listed:
        table.add_row(
            f"{one.axis}: {one.group}",
            probe_report.MEASURES[one.measure],
            str(one.n),
            probe_report.gap(one),
            probe_report.inside(one),
            f"[{'red' if one.holds else 'default'}]{probe_report.note(one)}[/]",
        )
    if listed:
        out.print(table)
    for why, count in found.failures.items():
        say(f"not scored: {why} ({count})")
    say(f"{head['release_id']}: {probe_report.asked(found)}")
    say(probe_report.summary(found))
    say(f"Report: {files['markdown']}")


def _tell_json(found: Compared, head: dict[str, Any], files: dict[str, Path]) -> None:
    from bias.counterfactual import as_object

    told = {name: str(path) for name, path in files.items()}
    print_json({"run": head, **as_object(found), "files": told})
