"""One file's bytes to one document. Whatever a parser stumbles over becomes one clear sentence."""

from __future__ import annotations

from importlib import import_module

from model_pipeline.documents.found import Found, ReadLimits
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
    try:
        reader = import_module(f"model_pipeline.documents.readers.{READERS[found.format]}")
        document: Document = reader.read(found, content, limits)
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
    return document
