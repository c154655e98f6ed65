"""`promptly jobs`: what is to be done, what is being done, and what was given up."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from model_pipeline.errors import InvalidInput
from model_pipeline.store.sources import JobState
from promptly.cli.output import CollectionOption, JsonFlag, out, print_json, safe
from promptly.cli.sources import sources

app = typer.Typer(help="What workers have to do.", no_args_is_help=True)


@app.command("list")
def list_(
    collection: CollectionOption = None,
    state: Annotated[JobState | None, typer.Option(help="Only these.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 100,
    after: Annotated[int, typer.Option(min=0, help="Go on after this job's id.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """List jobs: documents to be indexed and sources to be refreshed."""
    with sources() as store:
        counts = store.job_counts(collection=collection)
        found = store.jobs(collection=collection, state=state, limit=limit, after=after)
    if as_json:
        print_json({"counts": counts, "jobs": found})
        return
    table = Table("id", "collection", "to do", "state", "attempts", "reason")
    for job in found:
        what = f"{'index' if job.document_id else 'refresh'} {job.name}"
        table.add_row(
            str(job.job_id),
            escape(safe(job.collection)),
            escape(safe(what)),
            "given up" if job.state == "dead" else job.state,
            str(job.attempts),
            escape(safe(job.reason or "")),
        )
    out.print(table)
    for one in counts:
        line = f"{one.collection}: {one.of} waiting {one.waiting}, running {one.running}, "
        out.print(safe(line + f"given up {one.dead}"), markup=False, highlight=False)
    if len(found) == limit:
        out.print(f"[dim]More: --after {found[-1].job_id}[/dim]")


@app.command()
def retry(
    job_id: Annotated[int | None, typer.Argument(min=1, help="As `jobs list` shows it.")] = None,
    all_dead: Annotated[bool, typer.Option("--all-dead", help="All that were given up.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Have a worker try again now what failed or was given up."""
    if (job_id is not None) == all_dead:
        raise InvalidInput("Give a job's id, or --all-dead.")
    with sources() as store:
        if job_id is None:
            count = store.retry_dead_jobs()
        else:
            store.retry_job(job_id)
            count = 1
    if as_json:
        print_json({"retried": count})
    else:
        out.print(f"{count} {'job is' if count == 1 else 'jobs are'} tried again.")
