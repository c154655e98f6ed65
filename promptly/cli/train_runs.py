"""`promptly train submit|collect|status|cancel|logs|resume`: training runs on Kaggle's GPUs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from model_pipeline import params
from model_pipeline.errors import InvalidInput
from model_pipeline.store.runs import Run, RunEvent, short
from promptly.cli.bad_input import bad_input_tells
from promptly.cli.interrupt import be_interruptible
from promptly.cli.output import JsonFlag, err, out, plain, print_json, safe, say
from promptly.settings import Settings, read_settings

if TYPE_CHECKING:
    from training.kaggle.collect import Collecting

EXIT_FAILED = 1
EXIT_INFRASTRUCTURE = 3
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Its id, or the beginning of it.")]
NotebookOption = Annotated[
    Path | None, typer.Option(help="Run this one in place of the notebook that is shipped.")
]
SummaryOption = Annotated[
    Path | None, typer.Option(help="Append a table to this file: $GITHUB_STEP_SUMMARY.")
]


def submit(
    data: Annotated[Path, typer.Argument(help="A folder that `promptly train data` made.")],
    key: Annotated[
        str | None,
        typer.Option(
            help="There is one run for each key; by default the key is what data, parameters and "
            "code are."
        ),
    ] = None,
    notebook: NotebookOption = None,
    parameters: Annotated[
        Path | None,
        typer.Option("--params", help="`finetune:` of this file, in place of the shipped one."),
    ] = None,
    summary: SummaryOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Put a run on a Kaggle GPU, and leave it there: `promptly train collect` fetches it.

    The same again is the same run, and goes on with one that was interrupted. Exit status: 0 it is
    on Kaggle, 1 it failed, 2 bad input, 3 Kaggle failed it, 4 later: no quota, no room, no answer.
    """
    from promptly import training_runs
    from training.config import FinetuneConfig
    from training.kaggle import submit as submitting
    from training.kaggle.wheel import build_wheel

    be_interruptible()
    with bad_input_tells():
        settings = read_settings()
        config = FinetuneConfig.from_dict(params.section("finetune", parameters))
        cells = training_runs.read_notebook(notebook)
        submitting.require_data(data)
        with tempfile.TemporaryDirectory() as folder, training_runs.training_runs(settings) as runs:
            run = submitting.submit(
                runs,
                training_runs.kaggle(settings),
                submitting.Submission(
                    data, cells, build_wheel(Path(folder)), config,
                    git_commit=settings.git_commit, key=key,
                ),
                notify=partial(training_runs.tell_people, settings),
                tell=_tell(as_json),
            )  # fmt: skip
    _end([run], summary, as_json)


def collect(
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="Only this one.")] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="With RUN: until it has ended; shows its log.")
    ] = False,
    test_set: Annotated[
        str | None, typer.Option(help="Score what it made on this test set.")
    ] = None,
    collection: Annotated[
        str | None, typer.Option(help="Answer the test set from this collection.")
    ] = None,
    publish: Annotated[
        str | None, typer.Option(metavar="OWNER/NAME", help="Publish what succeeded on the Hub.")
    ] = None,
    resume: Annotated[
        int,
        typer.Option(min=0, max=20, help="Go on from what was stopped, so many times in a row."),
    ] = 0,
    summary: SummaryOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Look at the runs under way; fetch, verify and score those that have ended.

    Deletes from Kaggle what has ended, whatever way. Exit status: 0 all is well, 1 a run failed,
    2 bad input, 3 a run was let down by Kaggle or the network, 4 a service does not answer.
    """
    from promptly import training_runs
    from training.kaggle import collect as collecting
    from training.kaggle.resume import ancestors, resumable, submission_after
    from training.kaggle.submit import submit as submit_again

    be_interruptible()
    if wait and run is None:
        raise InvalidInput("--wait needs a run: `promptly train status` lists them.")
    with bad_input_tells():
        settings = read_settings()
        given = _collecting(settings, test_set, collection, publish, _tell(as_json))
        with training_runs.training_runs(settings) as runs:
            only = runs.get(run) if run else None
            kaggle = training_runs.kaggle(settings)
            if only and wait:
                looked = [collecting.wait_for(runs, kaggle, given, only)]
            else:
                looked = collecting.collect(runs, kaggle, given, only=only)
            for one in list(looked):
                if resumable(one) and ancestors(runs, one) < resume:
                    again = submission_after(one, given.of(one), training_runs.read_notebook(None))
                    looked.append(
                        submit_again(runs, kaggle, again, notify=given.notify, tell=given.tell)
                    )
    _end(looked, summary, as_json)


def status(
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="All about this one.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 20,
    as_json: JsonFlag = False,
) -> None:
    """List runs, the newest first, or tell what happened to one. Asks the database alone."""
    from promptly import training_runs

    with training_runs.training_runs(read_settings()) as runs:
        if run is None:
            found = runs.newest(limit)
            if as_json:
                print_json({"runs": [_object(one) for one in found]})
            else:
                _show(found)
            return
        one = runs.get(run)
        events = runs.events(one.run_id)
    if as_json:
        print_json({**_object(one), "events": [_event(event) for event in events]})
        return
    _show([one])
    for event in events:
        detail = ", ".join(f"{name} {value}" for name, value in event.detail.items() if value != "")
        line = f"{event.created_at:%Y-%m-%d %H:%M:%S}  {event.event:<8} {event.state:<11} {detail}"
        say(line.rstrip())
    _tell_next([one])


def cancel(run: RunArgument, as_json: JsonFlag = False) -> None:
    """Cancel a run, and delete it from Kaggle: that frees its place and its quota."""
    from promptly import training_runs
    from training.kaggle import runs as machine
    from training.kaggle.submit import sweep

    settings = read_settings()
    with training_runs.training_runs(settings) as runs:
        found = machine.cancel(runs, runs.get(run))
        sweep(runs, training_runs.kaggle(settings))
    if as_json:
        print_json(_object(found))
    else:
        say(f"Run {short(found.run_id)} is cancelled.")


def logs(
    run: RunArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Until it ends.")] = False,
) -> None:
    """Print what a run logged: from Kaggle while it is there, else as it was kept."""
    from promptly import training_runs
    from training.kaggle.collect import follow as following
    from training.kaggle.outputs import lines_so_far
    from training.kaggle.runs import ENDED

    be_interruptible()
    settings = read_settings()
    with training_runs.training_runs(settings) as runs:
        found = runs.get(run)
        kept = runs.log(found.run_id)
        if kept is not None:
            lines: Sequence[str] = kept.splitlines()
        elif found.state in ENDED or found.pushed_at is None:
            lines = []
        elif follow:
            following(training_runs.kaggle(settings), found.slug, say)
            return
        else:
            lines = lines_so_far(training_runs.kaggle(settings), found.slug)
    for line in lines:
        say(line)
    if not lines:
        err.print(f"Run {short(found.run_id)} has logged nothing yet, or nothing was kept.")


def resume(
    run: RunArgument,
    notebook: NotebookOption = None,
    summary: SummaryOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Go on from a run that came to its time limit, or was let down by its infrastructure.

    That is a new run, on the same data, with the same code, from the last checkpoint; the same
    command again is the same run.
    """
    from promptly import training_runs
    from training.kaggle.resume import submission_after
    from training.kaggle.submit import submit as submit_again

    be_interruptible()
    with bad_input_tells():
        settings = read_settings()
        with training_runs.training_runs(settings) as runs:
            found = runs.get(run)
            cells = training_runs.read_notebook(notebook)
            again = submission_after(found, training_runs.place_of(settings, found), cells)
            made = submit_again(
                runs, training_runs.kaggle(settings), again,
                notify=partial(training_runs.tell_people, settings), tell=_tell(as_json),
            )  # fmt: skip
    _end([made], summary, as_json)


def _collecting(
    settings: Settings,
    test_set: str | None,
    collection: str | None,
    repo: str | None,
    tell: Callable[[str], None],
) -> Collecting:
    from promptly import training_runs
    from training.kaggle.collect import Collecting

    given: dict[str, Any] = {}
    if test_set:
        given["score"] = training_runs.Scoring(settings, test_set, collection=collection)
    if repo:
        given["publish"] = lambda model, run, _: training_runs.publish(settings, repo, model, run)
    return Collecting(
        settings.runs_dir,
        track=partial(training_runs.track, settings),
        notify=partial(training_runs.tell_people, settings),
        tell=tell,
        **given,
    )


def _end(found: list[Run], summary: Path | None, as_json: bool) -> None:
    if as_json:
        print_json({"runs": [_object(one) for one in found]})
    else:
        _show(found, none="No runs under way.")
        _tell_next(found)
    if summary:
        _append(summary, found)
    verdicts = {one.verdict for one in found}
    if "failed" in verdicts:
        raise typer.Exit(EXIT_FAILED)
    if "infrastructure" in verdicts:
        raise typer.Exit(EXIT_INFRASTRUCTURE)


def _show(found: Sequence[Run], *, none: str = "No runs.") -> None:
    if not found:
        say(none)
        return
    table = Table("run", "state", "made", "data", "what came of it")
    for one in found:
        table.add_row(*(escape(safe(cell)) for cell in _cells(one)))
    out.print(table)


def _tell_next(found: Sequence[Run]) -> None:
    """Of what was made and is no version yet, where it is and how it becomes one."""
    from promptly.training_runs import model_of

    settings = read_settings()
    for one in found:
        folder = model_of(settings, one)
        if one.state == "succeeded" and folder.is_dir():
            say(
                f"Run {short(one.run_id)} is in {folder}: `promptly models publish` makes a "
                "version of it."
            )


def _result(one: Run) -> str:
    if one.verdict:
        return f"{one.verdict}: {one.reason or ''}"
    training = (one.metrics or {}).get("training") or {}
    told = [one.version] if one.version else []
    if one.state == "stopped":
        told.append(f"after {training.get('steps')} of {training.get('of_steps')} steps")
    elif training.get("validation_loss") is not None:
        told.append(
            f"validation loss {training['validation_loss_before']:.3g} to "
            f"{training['validation_loss']:.3g}"
        )
    return ", ".join(told)


def _cells(one: Run) -> tuple[str, ...]:
    return (
        short(one.run_id), one.state, f"{one.created_at:%Y-%m-%d %H:%M}", one.dataset_hash[:12],
        _result(one),
    )  # fmt: skip


def _append(path: Path, found: Sequence[Run]) -> None:
    """A table in Markdown: what it holds is no markup."""
    rows = [["run", "state", "made", "data", "what came of it"], ["---"] * 5]
    rows += [[_as_text(cell) for cell in _cells(one)] for one in found]
    lines = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    try:
        with path.open("a", encoding="utf-8", errors="replace") as file:
            file.write(f"### Training runs\n\n{lines}\n" if found else "No training runs.\n")
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}.") from error


def _as_text(cell: str) -> str:
    escaped = "".join(f"\\{one}" if one in r"\`*_{}[]<>()#+-.!|~&$@" else one for one in safe(cell))
    return escaped.replace("\n", " ")


def _object(one: Run) -> dict[str, Any]:
    found: dict[str, Any] = plain(one)
    return {name: _time(value) for name, value in found.items()}


def _event(event: RunEvent) -> dict[str, Any]:
    found: dict[str, Any] = plain(event)
    return {name: _time(value) for name, value in found.items()}


def _time(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _tell(hidden: bool) -> Callable[[str], None]:
    def tell(line: str) -> None:
        if not hidden:
            err.print(safe(line), markup=False, highlight=False, soft_wrap=True)

    return tell
