"""What commands print: JSON for scripts, Rich for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from logging import ERROR
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import structlog
import typer
from rich.console import Console
from rich.text import Text

from model_pipeline.errors import InvalidInput
from model_pipeline.shown import shown

out = Console()
err = Console(stderr=True)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
CollectionOption = Annotated[
    str | None, typer.Option("--collection", "-c", help="Only this collection.")
]


def log_errors_alone() -> None:
    """Where each failure is told by its name and counted, lines about them are in the way."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(ERROR))


def say_error(message: str) -> None:
    err.print(Text.assemble(("Error: ", "bold red"), safe(message)))


def say(line: str) -> None:
    out.print(safe(line), markup=False, highlight=False, soft_wrap=True)


def write_files(folder: Path, files: Mapping[str, str]) -> dict[str, Path]:
    """By name what each holds; gives their paths. Raises InvalidInput where they cannot be
    written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, "utf-8", "replace", newline="\n")
    except OSError as error:
        raise InvalidInput(f"{folder} cannot be written: {error.strerror}.") from error
    return {name: folder / name for name in files}


def safe(text: str) -> str:
    """`text` for a terminal: its escape sequences are shown, never obeyed."""
    return shown(text)


def plain(value: object) -> Any:
    """`value` as what JSON can say: dataclasses become objects, UUIDs strings."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, UUID) else value


def print_json(value: object) -> None:
    typer.echo(json.dumps(plain(value), ensure_ascii=False).encode("utf-8", "replace"))


def parse_filter(text: str | None) -> dict[str, Any] | None:
    """The --filter option: a JSON object."""
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidInput(
            f'--filter is not JSON ({error}): give an object such as \'{{"lang": "en"}}\'.'
        ) from error
    if not isinstance(value, dict):
        raise InvalidInput('--filter must be a JSON object such as \'{"lang": "en"}\'.')
    return value
