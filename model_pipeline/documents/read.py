"""Files to documents, by format; what could hang or burst this process in one of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

from model_pipeline.documents.found import CONTAINERS, Failed, FieldNames, Found, ReadLimits
from model_pipeline.documents.parse import parse, parse_rows
from model_pipeline.documents.worker import Worker, worker
from model_pipeline.domain import Document
from model_pipeline.errors import UnreadableDocument

# Read in this process up to so many bytes, which saves a start of the worker. Text is read in
# linear time. Markdown takes at worst the square of its length (under a second for this much);
# an include can make it grow. Parsers of the other formats promise nothing.
# Rows take up to some forty times their length in memory.
READ_HERE = {"text": 256_000, "rst": 256_000, "markdown": 8_000, "rows": 256_000}
INCLUDE = b"{*"


def is_container(found: Found, fields: FieldNames) -> bool:
    """Whether one file holds many documents."""
    return found.format in CONTAINERS or (found.format == "csv" and fields.content is not None)


def read(found: Found, fields: FieldNames, *, limits: ReadLimits) -> Iterator[Document | Failed]:
    """The documents of a file; a row that cannot be read is a Failed, and the others go on.

    Raises UnreadableDocument where nothing of the file can be read.
    """
    content = _bytes(found, limits)
    if is_container(found, fields):
        if len(content) <= READ_HERE["rows"]:
            yield from parse_rows(found, content, fields, limits)
            return
        # One of its own: the rows come as fast as they are taken, and others need not wait.
        with closing(Worker()) as own:
            yield from own.rows(found, content, fields, limits)
        return
    document = (parse if _is_harmless(found, content) else worker.parse)(found, content, limits)
    if not document.content.strip():
        raise UnreadableDocument(f"{found.source} is empty: it has no text.")
    yield replace(
        document,
        title=found.title or document.title,
        metadata={"format": found.format, **document.metadata, **found.metadata},
    )


def _is_harmless(found: Found, content: bytes) -> bool:
    return len(content) <= READ_HERE.get(found.format, -1) and INCLUDE not in content


def _bytes(found: Found, limits: ReadLimits) -> bytes:
    try:
        if found.path is not None and found.path.stat().st_size > limits.file_bytes:
            raise UnreadableDocument(
                f"{found.source} is larger than {limits.file_bytes:,} bytes: split it."
            )
        content = found.read_bytes()
    except OSError as error:
        raise UnreadableDocument(f"{found.source} cannot be opened: {error.strerror}.") from error
    if not content:
        raise UnreadableDocument(f"{found.source} is empty.")
    return content
