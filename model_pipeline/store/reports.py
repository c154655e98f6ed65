"""Where reports are put: a private bucket of Supabase Storage, or a folder."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

from model_pipeline.errors import Conflict, InvalidInput, NotFound
from model_pipeline.store.supabase_api import translate_errors

if TYPE_CHECKING:
    from supabase import Client

BUCKET = "promptly-reports"
CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".md": "text/markdown; charset=utf-8",
}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
PAGE = 100


class Reports(Protocol):
    """Files known by name, without folders. Raises InvalidInput for a name that is none, NotFound
    for one that is not there, StoreUnavailable where the place does not answer."""

    def put(self, name: str, content: bytes) -> None:
        """Write or replace a report, whole or not at all."""
        ...

    def get(self, name: str) -> bytes: ...

    def names(self) -> list[str]:
        """All, in order."""
        ...

    def url(self, name: str, *, expires_s: int) -> str:
        """An address at which whoever has it reads the report, for that long where it is on the
        web; a file's own where it is a file."""
        ...


class SupabaseReports:
    """`client` has a service key, or its user may write to the bucket."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._files = client.storage.from_(BUCKET)

    def put(self, name: str, content: bytes) -> None:
        kind = _content_type(name)
        self._ensure_bucket()
        with translate_errors():
            self._files.upload(name, content, {"content-type": kind, "upsert": "true"})

    def get(self, name: str) -> bytes:
        _content_type(name)
        with translate_errors():
            return self._files.download(name)

    def names(self) -> list[str]:
        found: list[str] = []
        while True:
            with translate_errors():
                page = self._files.list("", {"limit": PAGE, "offset": len(found)})
            found += [one["name"] for one in page]
            if len(page) < PAGE:
                return sorted(found)

    def url(self, name: str, *, expires_s: int) -> str:
        _content_type(name)
        with translate_errors():
            signed = self._files.create_signed_url(name, expires_s)["signedURL"]
        assert signed is not None
        return signed

    def _ensure_bucket(self) -> None:
        try:
            with translate_errors():
                self._client.storage.create_bucket(BUCKET, options={"public": False})
        except Conflict:
            pass  # it is there


class FolderReports:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, name: str, content: bytes) -> None:
        path = self._path(name)
        part = path.with_name(f".{name}.{os.getpid()}.part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            part.write_bytes(content)
            part.replace(path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise InvalidInput(
                f"{path} cannot be written ({error.strerror}): mend the folder's permissions, or "
                "free space."
            ) from error

    def get(self, name: str) -> bytes:
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError as error:
            raise NotFound(f"There is no report {name}.") from error

    def names(self) -> list[str]:
        if not self._folder.is_dir():
            return []
        return sorted(path.name for path in self._folder.iterdir() if NAME.fullmatch(path.name))

    def url(self, name: str, *, expires_s: int) -> str:
        path = self._path(name)
        if not path.exists():
            raise NotFound(f"There is no report {name}.")
        return path.as_uri()

    def _path(self, name: str) -> Path:
        _content_type(name)
        return self._folder / name


def _content_type(name: str) -> str:
    """Raises InvalidInput for what is no report's name."""
    kind = CONTENT_TYPES.get(PurePosixPath(name).suffix)
    if kind is None or not NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} cannot be a report's name: letters, digits, dots, hyphens and underscores, "
            f"and one of {', '.join(CONTENT_TYPES)} at its end."
        )
    return kind
