"""The command line: `promptly ...`.

Exit codes: 0 done; 1 it could not be done; 2 wrong usage; 3 done, but some documents failed, or
answers got worse; 4 a service that is needed does not answer; 130 interrupted.
"""

from __future__ import annotations

import os
import sys

import structlog
import typer

from model_pipeline.errors import PromptlyError, Unavailable
from promptly.cli import (
    api,
    ask,
    bias,
    data,
    db,
    doctor,
    documents,
    evaluate,
    ingest,
    jobs,
    keys,
    models,
    reembed,
    sources,
    testset,
    train,
    up,
    worker,
)
from promptly.cli.output import say_error

EXIT_FAILED = 1
EXIT_UNAVAILABLE = 4
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="promptly",
    help="Ask your own documents, and get answers whose citations are checked.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("up")(up.up)
app.command("ingest")(ingest.ingest)
app.command("search")(ask.search)
app.command("ask")(ask.ask)
app.add_typer(documents.app, name="documents")
app.add_typer(bias.app, name="bias")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(sources.app, name="sources")
app.add_typer(jobs.app, name="jobs")
app.add_typer(db.app, name="db")
app.add_typer(data.app, name="data")
app.add_typer(testset.app, name="testset")
app.add_typer(train.app, name="train")
app.add_typer(models.app, name="models")
app.command("worker")(worker.worker)
app.add_typer(keys.app, name="keys")
app.add_typer(reembed.app, name="reembed")
app.command("doctor")(doctor.doctor)
app.command("api")(api.api)


def main() -> None:
    # What is printed is the result, for scripts too.
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(sys.stderr))
    try:
        app()
    except PromptlyError as error:
        say_error(error.message)
        sys.exit(EXIT_UNAVAILABLE if isinstance(error, Unavailable) else EXIT_FAILED)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output went away (`promptly search ... | head -1`): not an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
