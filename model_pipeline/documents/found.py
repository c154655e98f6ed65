"""What discovery finds, what fails, and the limits of reading."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from model_pipeline.shown import named


@dataclass(frozen=True, slots=True)
class Found:
    """One file, wherever it is.

    `source` is the name it is known by, with nothing unseen in it; the same target gives the same
    source on every run.
    `origin` is the target it was found under. `path` is where it lies, None for what is no file;
    `root` is the folder that the target opened: includes may not reach far outside of it.
    `title` and `metadata` are what is known beside the file; they win over what it says itself.
    """

    source: str
    origin: str
    format: str
    read_bytes: Callable[[], bytes]
    path: Path | None = None
    root: Path | None = None
    title: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", named(self.source))
        object.__setattr__(self, "origin", named(self.origin))

    @property
    def name(self) -> str:
        return PurePosixPath(self.source).name


@dataclass(frozen=True, slots=True)
class Failed:
    """What could not be read, and why, in one sentence."""

    source: str
    reason: str
    origin: str
    keeps: Literal["origin", "document", "nothing"] = "origin"
    """What a sync leaves stored for it: all of its origin, where it is not known what that held;
    its own document, which may be readable tomorrow; nothing, where it is known to be gone."""

    def __post_init__(self) -> None:
        for name in ("source", "reason", "origin"):
            object.__setattr__(self, name, named(getattr(self, name)))


@dataclass(frozen=True, slots=True)
class FieldNames:
    """The fields of a JSONL or CSV row with its id, title and text; None looks for usual names."""

    id: str | None = None
    title: str | None = None
    content: str | None = None


@dataclass(frozen=True, slots=True)
class ReadLimits:
    file_bytes: int = 50_000_000
    """Of one file; also of one file's unpacked content."""
    seconds: float = 60.0
    """For reading one file; also for downloading one."""
    memory_bytes: int = 2_000_000_000
    """For reading one file; of the address space, where the system can limit that."""
    url_seconds: float = 30.0
    """Without anything coming."""


FORMATS = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".mdx": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".docx": "docx",
    ".txt": "text",
    ".text": "text",
    ".log": "text",
    ".rst": "rst",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
}
# Formats of which one file holds many documents.
CONTAINERS = frozenset({"jsonl", "json"})
MEDIA_TYPES = {
    "text/markdown": "markdown",
    "text/html": "html",
    "application/xhtml+xml": "html",
    "application/pdf": "pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "text/plain": "text",
    "text/x-rst": "rst",
    "text/csv": "csv",
    "application/x-ndjson": "jsonl",
    "application/jsonl": "jsonl",
    "application/json": "json",
}


def format_of(name: str) -> str | None:
    """The format that a file's name tells; None for one that Promptly does not read."""
    return FORMATS.get(PurePosixPath(name.lower()).suffix)


def from_bytes(
    name: str, content: bytes, *, format: str | None = None, origin: str = "upload"
) -> Found | Failed:
    """An uploaded file. `name` is only a name: it is never opened."""
    source = PurePosixPath(name.replace("\\", "/")).name or "upload"
    known = format or format_of(source)
    if known is None:
        return Failed(source, unknown_format(source), origin)
    return Found(source, origin, known, lambda: content)


def from_text(
    source: str, content: bytes, *, title: str | None, metadata: Mapping[str, Any]
) -> Found:
    """A text handed in: `source` tells its format where it has a known extension."""
    known = format_of(source)
    format = known if known in ("html", "rst", "text") else "markdown"
    return Found(source, "text", format, lambda: content, title=title, metadata=metadata)


def unknown_format(source: str) -> str:
    return f"{source} has an extension that is not read: give one of {', '.join(sorted(FORMATS))}."
