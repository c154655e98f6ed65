"""CSV: one document, a block for each row; or, with the text's column named, a document."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from model_pipeline.documents.decode import decode
from model_pipeline.documents.found import Failed, FieldNames, Found, ReadLimits
from model_pipeline.documents.outline import TextBuilder
from model_pipeline.documents.readers import json_rows
from model_pipeline.domain import Document
from model_pipeline.errors import UnreadableDocument

SNIFFED_CHARACTERS = 20_000


def read(found: Found, content: bytes, limits: ReadLimits) -> Document:
    """Each row reads "name: X | price: 3", so that it says what its values are."""
    header, rows = _open(found, content)
    builder = TextBuilder()
    for _, row in rows:
        pairs = zip(header, row, strict=False)
        builder.block(" | ".join(f"{name}: {value}" for name, value in pairs if value.strip()))
    return Document(found.source, found.name, builder.text, blocks=builder.blocks)


def read_rows(found: Found, content: bytes, fields: FieldNames) -> Iterator[Document | Failed]:
    header, rows = _open(found, content)
    missing = [
        name for name in (fields.id, fields.title, fields.content) if name and name not in header
    ]
    if missing:
        raise UnreadableDocument(
            f"{found.source} has no column {missing[0]!r}: it has {', '.join(header)[:300]}."
        )
    objects = ((number, dict(zip(header, row, strict=False))) for number, row in rows)
    yield from json_rows.documents(found, objects, fields)


def _open(found: Found, content: bytes) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    text = decode(content, found.source)
    csv.field_size_limit(10_000_000)
    try:
        dialect: type[csv.Dialect] | str = csv.Sniffer().sniff(text[:SNIFFED_CHARACTERS], ",;\t|")
    except csv.Error:
        dialect = "excel-tab" if found.source.lower().endswith(".tsv") else "excel"
    reader = csv.reader(io.StringIO(text), dialect)
    try:
        header = [name.strip() for name in next(reader)]
    except (StopIteration, csv.Error) as error:
        raise UnreadableDocument(f"{found.source} has no rows.") from error

    def rows() -> Iterator[tuple[int, list[str]]]:
        try:
            yield from ((number, row) for number, row in enumerate(reader, start=2) if any(row))
        except csv.Error as error:
            raise UnreadableDocument(f"{found.source} is no readable CSV: {error}.") from error

    return header, rows()
