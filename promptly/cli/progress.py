"""A bar on a terminal while something takes long; a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from promptly.cli.output import err

Tell = Callable[[str, int, int], None]
"""What is being done, how much of it is, and of how much."""

LINE_S = 5.0  # between two lines where there is no terminal


@contextmanager
def bar(*, hidden: bool) -> Iterator[Tell]:
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=hidden or not err.is_terminal,
    ) as shown:
        task = shown.add_task("", total=None)
        said_at = time.monotonic()

        def tell(what: str, done: int, of: int) -> None:
            nonlocal said_at
            shown.update(task, description=what, completed=done, total=of)
            if not (hidden or err.is_terminal) and time.monotonic() - said_at > LINE_S:
                err.print(f"{what}: {done:,} of {of:,}")
                said_at = time.monotonic()

        yield tell
