"""/v1/documents."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import Response

from model_pipeline.errors import InvalidInput, Unavailable
from rag_service.api.replies import reply, since
from rag_service.api.schemas import (
    DocumentDetail,
    DocumentList,
    IngestReply,
    TextRequest,
    from_chunk,
    from_document,
    from_report,
)
from rag_service.api.services import Services, Upload

MAX_FILES = 50
DocumentId = Annotated[
    UUID,
    Path(
        description="As `GET /v1/documents` lists it.",
        examples=["0191b7a2-6c1e-5f3a-9d42-3b5f0e8c7a11"],
    ),
]
ADD_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": TextRequest.model_json_schema()},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": MAX_FILES,
                            "items": {"type": "string", "format": "binary"},
                        },
                        "collection": {"type": "string", "default": "default"},
                    },
                },
            },
        },
    }
}


def document_routes(services: Services) -> APIRouter:
    routes = APIRouter(tags=["documents"])
    turn = asyncio.Lock()
    places = asyncio.Semaphore(services.limits.waiting_uploads)

    @routes.get("/v1/documents", response_model=DocumentList, summary="List documents")
    async def list_documents(
        request: Request,
        collection: Annotated[
            str | None,
            Query(
                max_length=200,
                description="Only this one.",
                examples=["default"],
                json_schema_extra={"pattern": r"^[^\u0000]*$"},
            ),
        ] = None,
        limit: Annotated[int, Query(ge=1, le=1000, description="How many a page.")] = 100,
        after: Annotated[UUID | None, Query(description="`next` of the page before.")] = None,
    ) -> Response:
        """By id, page by page."""
        started = time.perf_counter()
        if collection is not None and "\0" in collection:
            raise InvalidInput("A collection's name has no NUL character: remove it.")
        mine = await services.acting_for(request)
        found = await run_in_threadpool(
            mine.documents.list_documents, collection=collection, limit=limit, after=after
        )
        last = str(found[-1].document_id) if len(found) == limit else None
        documents = [from_document(document) for document in found]
        return reply({"documents": documents, "next": last, "timings_ms": since(started)})

    @routes.get(
        "/v1/documents/{document_id}", response_model=DocumentDetail, summary="Show a document"
    )
    async def show_document(document_id: DocumentId, request: Request) -> Response:
        """A document with its chunks in order; joined, they are its text."""
        started = time.perf_counter()
        mine = await services.acting_for(request)
        summary, chunks = await run_in_threadpool(mine.documents.get_document, document_id)
        body = {**from_document(summary), "chunks": [from_chunk(chunk) for chunk in chunks]}
        return reply({**body, "timings_ms": since(started)})

    @routes.delete("/v1/documents/{document_id}", status_code=204, summary="Delete a document")
    async def delete_document(document_id: DocumentId, request: Request) -> Response:
        """With its chunks; it is gone from every later search."""
        mine = await services.acting_for(request)
        await run_in_threadpool(mine.documents.delete_document, document_id)
        return Response(status_code=204)

    @routes.post(
        "/v1/documents",
        response_model=IngestReply,
        summary="Add documents",
        openapi_extra=ADD_BODY,
    )
    async def add_documents(request: Request) -> Response:
        """A text as JSON, or files as a multipart form; the same source replaces what it was."""
        started = time.perf_counter()
        mine = await services.acting_for(request)
        if places.locked():
            raise Unavailable("Too many documents are waiting: try again shortly.", retry_after_s=5)
        async with places:
            uploads, collection = await _uploads(request)
            async with turn:
                report = await run_in_threadpool(mine.ingest, uploads, collection)
        return reply({**from_report(report), "timings_ms": since(started)})

    return routes


async def _uploads(request: Request) -> tuple[Sequence[Upload], str]:
    """What to ingest and into which collection, from either kind of body."""
    kind = request.headers.get("content-type", "").lower().partition(";")[0].strip()
    if kind == "multipart/form-data":
        async with request.form(max_files=MAX_FILES, max_fields=10) as form:
            files = [part for part in form.getlist("files") if isinstance(part, UploadFile)]
            if not files:
                raise InvalidInput("The form has no files: send them in the field 'files'.")
            collection = form.get("collection") or "default"
            uploads = [Upload(part.filename or "upload", await part.read()) for part in files]
            if not isinstance(collection, str):
                raise InvalidInput("The field 'collection' is a file: send a name.")
            return uploads, collection
    if kind != "application/json":
        raise HTTPException(415)
    text = _text(await request.body())
    content = text.text.encode("utf-8", "replace")
    upload = Upload(text.source, content, text.title, text.metadata, text=True)
    return [upload], text.collection


def _text(body: bytes) -> TextRequest:
    try:
        return TextRequest.model_validate_json(body)
    except ValidationError as error:
        details = error.errors(include_input=False, include_context=False)
        raise RequestValidationError(
            [{**one, "loc": ("body", *one["loc"])} for one in details]
        ) from error
