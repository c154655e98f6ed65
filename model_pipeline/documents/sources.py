"""What the sources of a collection hold: files, pages of the web."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from model_pipeline.documents.discover import discover
from model_pipeline.documents.found import Failed, Found, ReadLimits
from model_pipeline.errors import InvalidInput


def find(
    kind: str, settings: Mapping[str, Any], *, origin: str, limits: ReadLimits
) -> Iterator[Found | Failed]:
    """Everything of a source, under its one `origin`, so that what is gone is noticed."""
    for item in _of_kind(kind, settings, limits):
        yield replace(item, origin=origin)


def _of_kind(
    kind: str, settings: Mapping[str, Any], limits: ReadLimits
) -> Iterator[Found | Failed]:
    match kind:
        case "files":
            return discover(settings["paths"], limits=limits)
        case _:
            raise InvalidInput(f"A source of the kind {kind!r} cannot be read here.")
