"""DOCX, by python-docx: headings by style, lists, tables as rows."""

from __future__ import annotations

import io
import re
import zipfile

from docx import Document as open_docx
from docx.table import Table
from docx.text.paragraph import Paragraph

from model_pipeline.documents.decode import clean
from model_pipeline.documents.found import Found, ReadLimits
from model_pipeline.documents.outline import TextBuilder
from model_pipeline.domain import Document
from model_pipeline.errors import UnreadableDocument

HEADING = re.compile(r"heading (\d)", re.IGNORECASE)


def read(found: Found, content: bytes, limits: ReadLimits) -> Document:
    _require_reasonable(found, content, limits)
    opened = open_docx(io.BytesIO(content))
    builder = TextBuilder()
    items: list[str] = []
    for block in opened.iter_inner_content():
        text = "" if isinstance(block, Table) else clean(block.text).strip()
        style = (block.style.name or "") if isinstance(block, Paragraph) and block.style else ""
        if text and "list" in style.lower():
            items.append(f"- {text}")
            continue
        if items:
            builder.block("\n".join(items))
            items = []
        if isinstance(block, Table):
            builder.block("\n".join(_row(row.cells) for row in block.rows))
        elif heading := HEADING.match(style):
            builder.heading(int(heading[1]), text)
        elif style.lower() == "title":
            builder.heading(0, text)
        else:
            builder.block(text)
    builder.block("\n".join(items))
    title = clean(opened.core_properties.title or "").strip()
    return Document(
        found.source,
        title or builder.first_heading or found.name,
        builder.text,
        blocks=builder.blocks,
    )


def _row(cells: tuple[object, ...]) -> str:
    return " | ".join(" ".join(clean(str(getattr(cell, "text", ""))).split()) for cell in cells)


def _require_reasonable(found: Found, content: bytes, limits: ReadLimits) -> None:
    """A zip's directory tells what it unpacks to: refuse a bomb before it goes off."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except zipfile.BadZipFile as error:
        raise UnreadableDocument(f"{found.source} is no DOCX file, or is truncated.") from error
    if unpacked > 4 * limits.file_bytes:
        raise UnreadableDocument(
            f"{found.source} unpacks to {unpacked:,} bytes, over the limit of "
            f"{4 * limits.file_bytes:,}: it is not read."
        )
