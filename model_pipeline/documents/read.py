"""Files to documents, by format. Whatever a reader stumbles over becomes one clear sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module

from model_pipeline.documents.found import CONTAINERS, Failed, FieldNames, Found, ReadLimits
from model_pipeline.documents.readers import csv_rows, json_rows
from model_pipeline.domain import Document
from model_pipeline.errors import UnreadableDocument

Reader = Callable[[Found, bytes, ReadLimits], Document]

# Imported when the first file of the format comes: some parsers take long, and a service that only
# answers needs none.
WHOLE_FILE = {
    "markdown": "markdown",
    "html": "html",
    "pdf": "pdf",
    "docx": "docx",
    "text": "text",
    "rst": "text",
}


def is_container(found: Found, fields: FieldNames) -> bool:
    """Whether one file holds many documents."""
    return found.format in CONTAINERS or (found.format == "csv" and fields.content is not None)


def read(found: Found, fields: FieldNames, *, limits: ReadLimits) -> Iterator[Document | Failed]:
    """The documents of a file; a row that cannot be read is a Failed, and the others go on.

    Raises UnreadableDocument where nothing of the file can be read.
    """
    content = _bytes(found, limits)
    if is_container(found, fields):
        rows = csv_rows.read_rows if found.format == "csv" else json_rows.read_rows
        yield from rows(found, content, fields)
        return
    try:
        document = _reader(found.format)(found, content, limits)
    except UnreadableDocument:
        raise
    except RecursionError as error:
        raise UnreadableDocument(f"{found.source} is nested too deeply to be read.") from error
    except MemoryError as error:
        raise UnreadableDocument(f"{found.source} needs more memory than there is.") from error
    except Exception as error:
        # Parsers raise whatever a damaged file makes them stumble over.
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UnreadableDocument(
            f"{found.source} is damaged or not {found.format}: {reason}"
        ) from error
    if not document.content.strip():
        raise UnreadableDocument(f"{found.source} is empty: it has no text.")
    yield replace(
        document,
        title=found.title or document.title,
        metadata={"format": found.format, **document.metadata, **found.metadata},
    )


def _reader(format: str) -> Reader:
    if format == "csv":
        return csv_rows.read_table
    module = import_module(f"model_pipeline.documents.readers.{WHOLE_FILE[format]}")
    reader: Reader = module.read
    return reader


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
