"""JSONL, and JSON lists: rows of text that is already split, with metadata."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from model_pipeline.documents.decode import clean, decode
from model_pipeline.documents.found import Failed, FieldNames, Found
from model_pipeline.domain import Document, Section
from model_pipeline.errors import UnreadableDocument
from model_pipeline.shown import named

ID_FIELDS = ("id", "_id", "doc_id", "document_id", "chunk_id", "uuid")
TITLE_FIELDS = ("title", "name", "heading", "chunk_heading")
CONTENT_FIELDS = ("content", "text", "chunk", "body", "page_content", "passage")
MAX_METADATA_CHARACTERS = 20_000
MAX_FAILED_ROWS = 1_000
JOINT = "\n\n"

Row = tuple[str, str, str, dict[str, Any]]  # source, title, content, metadata


def read_rows(found: Found, content: bytes, fields: FieldNames) -> Iterator[Document | Failed]:
    """A document for each row; rows that follow each other with one id are one document's chunks.

    The text of a row is one chunk, never split or trimmed.
    """
    yield from documents(found, _rows(found, content), fields)


def documents(
    found: Found, rows: Iterable[tuple[int, Any]], fields: FieldNames
) -> Iterator[Document | Failed]:
    """(line number, row) to documents; also what CSV rows go through."""
    seen: set[str] = set()
    failed = 0
    parsed = (_parse(found, number, row, fields) for number, row in rows)
    for source, group in groupby(
        parsed, key=lambda item: item.source if isinstance(item, Failed) else item[0]
    ):
        members = list(group)
        bad = [item for item in members if isinstance(item, Failed)]
        yield from bad
        failed += len(bad)
        if failed > MAX_FAILED_ROWS:
            raise UnreadableDocument(
                f"{found.source} has over {MAX_FAILED_ROWS:,} rows that cannot be read: the rest "
                "was left out."
            )
        good = [item for item in members if not isinstance(item, Failed)]
        if not good:
            continue
        if source in seen:
            reason = (
                f"{found.source}: the id {source!r} comes again further down: ids must be unique."
            )
            yield Failed(source, reason, found.origin)
            continue
        seen.add(source)
        yield _document(good)


def _document(rows: list[Row]) -> Document:
    source, title, _, metadata = rows[0]
    parts, sections, at = [], [], 0
    for index, (_, row_title, content, _) in enumerate(rows):
        text = content + (JOINT if index < len(rows) - 1 else "")
        path = (row_title,) if row_title and row_title != title else ()
        sections.append(Section(at, at + len(text), path))
        parts.append(text)
        at += len(text)
    return Document(source, title, "".join(parts), metadata=metadata, pre_chunked=tuple(sections))


def _rows(found: Found, content: bytes) -> Iterator[tuple[int, Any]]:
    text = decode(content, found.source)
    if found.format == "json":
        try:
            rows = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UnreadableDocument(f"{found.source} is not JSON: {error}.") from error
        if not isinstance(rows, list):
            raise UnreadableDocument(f"{found.source} must hold a list of objects.")
        yield from enumerate(rows, start=1)
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, error


def _parse(found: Found, number: int, row: Any, fields: FieldNames) -> Row | Failed:
    place = f"{found.source}#{number}"
    if isinstance(row, Exception):
        return Failed(place, f"{found.source}, line {number} is not JSON: {row}.", found.origin)
    if not isinstance(row, Mapping):
        return Failed(place, f"{found.source}, row {number} is no object.", found.origin)
    id_field = fields.id or _first(row, ID_FIELDS)
    title_field = fields.title or _first(row, TITLE_FIELDS)
    content_field = fields.content or _first(row, CONTENT_FIELDS)
    content = row.get(content_field) if content_field else None
    if not isinstance(content, str) or not content.strip():
        wanted = fields.content or " or ".join(CONTENT_FIELDS)
        reason = f"{found.source}, row {number} has no text in its field {wanted}."
        return Failed(place, reason, found.origin)
    if fields.id and row.get(fields.id) in (None, ""):
        return Failed(place, f"{found.source}, row {number} has no {fields.id}.", found.origin)
    identity = row.get(id_field) if id_field else None
    title = row.get(title_field) if title_field else None
    metadata = _metadata(row, {id_field, title_field, content_field})
    if len(json.dumps(metadata)) > MAX_METADATA_CHARACTERS:
        most = f"{MAX_METADATA_CHARACTERS:,} characters"
        return Failed(place, f"{place} has over {most} of metadata.", found.origin)
    return (
        place if identity in (None, "") else named(str(identity)),
        "" if title is None else clean(str(title)),
        clean(content),
        metadata,
    )


def _first(row: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if row.get(name) not in (None, "")), None)


def _metadata(row: Mapping[str, Any], used: set[str | None]) -> dict[str, Any]:
    """Every other field; an object called metadata is opened."""
    rest = {key: value for key, value in row.items() if key not in used}
    inner = rest.get("metadata")
    if isinstance(inner, Mapping):
        del rest["metadata"]
        rest = {**inner, **rest}
    return {
        clean(str(key)): _clean_value(value) for key, value in rest.items() if value is not None
    }


def _clean_value(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, float) and value != value:
        return None
    if isinstance(value, Mapping):
        return {clean(str(key)): _clean_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean_value(item) for item in value]
    return value
