"""A source in Supabase Storage: the files of a bucket, through Supabase's own client."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from model_pipeline.documents.found import Failed, Found, ReadLimits, format_of
from model_pipeline.errors import ConfigurationError, UnreadableDocument
from model_pipeline.store.supabase_api import open_client

if TYPE_CHECKING:
    from supabase import Client

Answer = TypeVar("Answer")
LISTED_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Storage:
    """Where Supabase's HTTP API is, and the key it is read with."""

    url: str
    key: str = field(repr=False)


def bucket_files(
    settings: Mapping[str, Any], *, limits: ReadLimits, storage: Storage | None
) -> Iterator[Found | Failed]:
    """The readable files of {"bucket", "prefix"}, by name: "bucket/folder/file". Raises
    UnreadableDocument where the bucket cannot be listed, ConfigurationError where none can."""
    bucket = settings["bucket"]
    if storage is None:
        raise ConfigurationError(
            "A bucket is read with SUPABASE_URL and SUPABASE_SECRET_KEY: set both where the worker "
            "runs."
        )
    with open_client(storage.url, storage.key) as client:
        prefix, empty = settings.get("prefix", "").strip("/"), True
        for path, size in _listed(client, bucket, prefix):
            empty = False
            known = format_of(path)
            source = f"{bucket}/{path}"
            if known is None or path.rpartition("/")[2].startswith("."):
                continue
            if size > limits.file_bytes:
                reason = f"{source} is larger than {limits.file_bytes:,} bytes: split it."
                yield Failed(source, reason, bucket, keeps="document")
                continue
            yield Found(source, bucket, known, partial(_download, client, bucket, path))
    # One that is not there, or that the key may not read, lists as an empty one.
    if empty:
        where = f"the bucket {bucket}" + (f" under {prefix}" if prefix else "")
        raise UnreadableDocument(f"Nothing is found in {where}: look at the names and the key.")


def _listed(client: Client, bucket: str, folder: str) -> Iterator[tuple[str, int]]:
    """(path, bytes) of each file in a folder and beneath it, in order."""
    offset = 0
    while True:
        page = {
            "limit": LISTED_AT_ONCE,
            "offset": offset,
            "sortBy": {"column": "name", "order": "asc"},
        }
        entries = _asked(
            f"The bucket {bucket} cannot be listed",
            partial(client.storage.from_(bucket).list, folder, page),  # type: ignore[arg-type]
        )
        for entry in entries:
            # Hosted, a folder's entries bear the last part of their path, and folders no id; other
            # servers list what lies deeper too, by its whole path.
            name = entry["name"]
            path = name if "/" in name else f"{folder}/{name}".lstrip("/")
            if entry.get("id") is None:
                yield from _listed(client, bucket, path)
            else:
                yield path, int((entry.get("metadata") or {}).get("size") or 0)
        if len(entries) < LISTED_AT_ONCE:
            return
        offset += len(entries)


def _download(client: Client, bucket: str, path: str) -> bytes:
    return _asked(
        f"{bucket}/{path} cannot be downloaded",
        partial(client.storage.from_(bucket).download, path),
    )


def _asked(what: str, ask: Callable[[], Answer]) -> Answer:
    from supabase import StorageException

    try:
        return ask()
    except (StorageException, httpx.HTTPError, ValueError) as error:
        said = getattr(error, "message", None) or str(error) or type(error).__name__
        raise UnreadableDocument(f"{what}: {str(said).rstrip('.')}.") from error
