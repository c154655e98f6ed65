"""Files to documents, by format. Whatever a reader stumbles over becomes one clear sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from model_pipeline.documents.found import CONTAINERS, Failed, FieldNames, Found, ReadLimits
from model_pipeline.documents.readers import csv_rows, docx, html, json_rows, markdown, pdf, text
from model_pipeline.domain import Document
from model_pipeline.errors import UnreadableDocument

WHOLE_FILE = {
    "markdown": markdown.read,
    "html": html.read,
    "pdf": pdf.read,
    "docx": docx.read,
    "text": text.read,
    "rst": text.read,
    "csv": csv_rows.read_table,
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
        document = WHOLE_FILE[found.format](found, content, limits)
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
