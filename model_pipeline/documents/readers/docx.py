"""DOCX, by python-docx: headings by style, lists, tables as rows."""

from __future__ import annotations

import io
import re
import shutil
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
    opened = open_docx(_unpacked(found, content, 4 * limits.file_bytes))
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


def _unpacked(found: Found, content: bytes, most: int) -> io.BytesIO:
    """The archive with nothing compressed, refused where it would be too large.

    What python-docx opens unpacks at once to whatever there is. Here nothing unpacks to more than
    its header says; where the header lies, the checksum tells.
    """
    plain = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed, zipfile.ZipFile(plain, "w") as copy:
            unpacked = sum(entry.file_size for entry in packed.infolist())
            if unpacked > most:
                raise UnreadableDocument(
                    f"{found.source} unpacks to {unpacked:,} bytes, over the limit of {most:,}: "
                    "it is not read."
                )
            for entry in packed.infolist():
                if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise UnreadableDocument(f"{found.source} is packed in a way that is not read.")
                with packed.open(entry) as part, copy.open(entry.filename, "w") as into:
                    shutil.copyfileobj(part, into)
    except (zipfile.BadZipFile, EOFError) as error:
        raise UnreadableDocument(
            f"{found.source} is no DOCX file, or is truncated or damaged."
        ) from error
    return plain
