"""Exit status 2 for what was asked wrongly, where 1 has a meaning of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from model_pipeline.errors import ConfigurationError, Conflict, InvalidInput, NotFound
from promptly.cli.output import say_error

EXIT_BAD_INPUT = 2


@contextmanager
def bad_input_tells() -> Iterator[None]:
    try:
        yield
    except (InvalidInput, NotFound, Conflict, ConfigurationError) as error:
        say_error(error.message)
        raise typer.Exit(EXIT_BAD_INPUT) from error
