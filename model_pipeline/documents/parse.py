"""One file's bytes to one document, or to those of its rows.

Whatever a parser stumbles over becomes one clear sentence.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from model_pipeline.documents.found import Failed, FieldNames, Found, ReadLimits
from model_pipeline.documents.readers import csv_rows, json_rows
from model_pipeline.domain import Document
from model_pipeline.errors import UnreadableDocument

# Imported when the first file of the format comes: some parsers take long, and a service that only
# answers needs none.
READERS = {
    "markdown": "markdown",
    "html": "html",
    "pdf": "pdf",
    "docx": "docx",
    "text": "text",
    "rst": "text",
    "csv": "csv_rows",
}


def parse(found: Found, content: bytes, limits: ReadLimits) -> Document:
    """Raises UnreadableDocument, and nothing else."""
    with _one_sentence(found, limits):
        reader = import_module(f"model_pipeline.documents.readers.{READERS[found.format]}")
        document: Document = reader.read(found, content, limits)
    return document


def parse_rows(
    found: Found, content: bytes, fields: FieldNames, limits: ReadLimits
) -> Iterator[Document | Failed]:
    """The documents of a file that holds many; raises UnreadableDocument, and nothing else."""
    with _one_sentence(found, limits):
        read_rows = csv_rows.read_rows if found.format == "csv" else json_rows.read_rows
        yield from read_rows(found, content, fields)


@contextmanager
def _one_sentence(found: Found, limits: ReadLimits) -> Iterator[None]:
    try:
        yield
    except UnreadableDocument:
        raise
    except RecursionError as error:
        raise UnreadableDocument(f"{found.source} is nested too deeply to be read.") from error
    except MemoryError as error:
        raise UnreadableDocument(
            f"{found.source} needs more than {limits.memory_bytes:,} bytes of memory to be read: "
            "split it."
        ) from error
    except Exception as error:
        # Parsers raise whatever a damaged file makes them stumble over.
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UnreadableDocument(
            f"{found.source} is damaged or not {found.format}: {reason}"
        ) from error
