"""What the sources of a collection hold: files, pages of the web, files in a bucket."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from model_pipeline.documents.bucket import Storage, bucket_files
from model_pipeline.documents.discover import discover
from model_pipeline.documents.found import Failed, Found, ReadLimits
from model_pipeline.documents.pages import web_pages
from model_pipeline.errors import InvalidInput


def find(
    kind: str,
    settings: Mapping[str, Any],
    *,
    origin: str,
    limits: ReadLimits,
    trusted: bool,
    storage: Storage | None,
) -> Iterator[Found | Failed]:
    """Everything of a source, under its one `origin`, so that what is gone is noticed. One that is
    not `trusted` reaches the public web alone. Raises UnreadableDocument, ConfigurationError."""
    match kind:
        case "files":
            found = discover(settings["paths"], limits=limits)
        case "web":
            found = web_pages(settings, limits=limits, public_only=not trusted)
        case "bucket":
            found = bucket_files(settings, limits=limits, storage=storage)
        case _:
            raise InvalidInput(f"A source of the kind {kind!r} cannot be read here.")
    for item in found:
        yield replace(item, origin=origin)


def described(kind: str, settings: Mapping[str, Any]) -> str:
    """What a source is, in a few words."""
    match kind:
        case "files":
            names = settings["paths"]
        case "web":
            names = settings.get("urls") or [settings["sitemap"]]
        case "table":
            names = [settings["table"]]
        case _:
            names = [f"{settings['bucket']}/{settings.get('prefix', '')}".rstrip("/")]
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
