"""PDF, by pypdf: page after page; headings from the outline, otherwise the page's number."""

from __future__ import annotations

import io
import logging
import re
import warnings
from typing import Any

from pypdf import PasswordType, PdfReader

from model_pipeline.documents.decode import clean
from model_pipeline.documents.found import Found, ReadLimits
from model_pipeline.documents.outline import TextBuilder
from model_pipeline.domain import Document
from model_pipeline.errors import UnreadableDocument

# pypdf reports each oddity of a file; readers of the summary want one sentence.
logging.getLogger("pypdf").setLevel(logging.CRITICAL)
BLANK_LINES = re.compile(r"\n\s*\n")
MAX_HEADINGS = 5_000


def read(found: Found, content: bytes, limits: ReadLimits) -> Document:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reader = PdfReader(io.BytesIO(content))
        if reader.is_encrypted and reader.decrypt("") == PasswordType.NOT_DECRYPTED:
            raise UnreadableDocument(
                f"{found.source} is encrypted: remove its password, then ingest it again."
            )
        headings = _headings(reader)
        builder = TextBuilder()
        for number, page in enumerate(reader.pages):
            for level, title in headings.get(number, []) or _page(number, headings):
                builder.place(level, title)
            for paragraph in BLANK_LINES.split(clean(page.extract_text() or "")):
                builder.block(
                    "\n".join(line.rstrip() for line in paragraph.strip("\n").split("\n"))
                )
            if len(builder.text) > limits.file_bytes:
                raise UnreadableDocument(f"{found.source} unpacks to too much text: split it.")
        pages = len(reader.pages)
        title = str((reader.metadata.title if reader.metadata else None) or "").strip()
    if not builder.text:
        raise UnreadableDocument(
            f"{found.source} has no text layer ({pages} pages of images): run OCR on it first."
        )
    return Document(
        found.source,
        clean(title) or found.name,
        builder.text,
        metadata={"pages": pages},
        blocks=builder.blocks,
    )


def _page(number: int, headings: dict[int, list[tuple[int, str]]]) -> list[tuple[int, str]]:
    return [] if headings else [(1, f"Page {number + 1}")]


def _headings(reader: PdfReader) -> dict[int, list[tuple[int, str]]]:
    """Page number to the (level, title) of the outline's entries that begin there."""
    found: dict[int, list[tuple[int, str]]] = {}
    try:
        stack: list[tuple[Any, int]] = [(entry, 1) for entry in reversed(reader.outline)]
        count = 0
        while stack and count < MAX_HEADINGS:
            entry, level = stack.pop()
            if isinstance(entry, list):
                stack.extend((child, level + 1) for child in reversed(entry))
                continue
            count += 1
            number = reader.get_destination_page_number(entry)
            title = clean(str(entry.title or "")).strip()
            if number is not None and number >= 0 and title:
                found.setdefault(number, []).append((level, title))
    except Exception:  # a damaged outline is no reason to give up the text
        return {}
    return found
