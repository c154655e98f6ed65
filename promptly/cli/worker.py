"""`promptly worker`: takes jobs from the queue until Ctrl-C."""

from __future__ import annotations

from threading import Event

from model_pipeline.worker import Worked
from promptly import bootstrap
from promptly.cli.interrupt import be_interruptible
from promptly.cli.output import JsonFlag, out, print_json, safe
from promptly.settings import read_settings


def worker(as_json: JsonFlag = False) -> None:
    """Keep collections up to date: index what was edited, refresh sources, until Ctrl-C."""
    be_interruptible()
    with bootstrap.working(read_settings(), tell=print_json if as_json else _tell) as one:
        if not as_json:
            out.print("Working; Ctrl-C ends it.")
        one.run(Event())


def _tell(worked: Worked) -> None:
    match worked.event:
        case "indexed":
            line = f"indexed {worked.name}"
            if worked.documents > 1:
                line += f" and {worked.documents - 1} more"
        case "refreshed":
            line = f"refreshed source {worked.name}: {worked.documents} documents written"
        case "failed":
            line = f"failed {worked.name}: {worked.reason} It is tried again."
        case "dead":
            line = f"given up {worked.name}: {worked.reason}"
        case "waiting":
            line = f"waiting: {worked.reason} It is tried again until it answers; nothing is lost."
        case "resumed":
            line = "resumed: the database answers again."
    out.print(safe(line), markup=False, highlight=False, soft_wrap=True)
