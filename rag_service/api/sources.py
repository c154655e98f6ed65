"""/v1/sources and /v1/jobs."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from model_pipeline.errors import InvalidInput
from model_pipeline.store.sources import JobState
from rag_service.api.replies import reply, since
from rag_service.api.services import Services
from rag_service.api.source_schemas import (
    AddedSource,
    JobList,
    RemovedSource,
    SourceList,
    SourceRequest,
    from_counts,
    from_job,
    from_source,
)

LARGEST_ID = 2**63 - 1
Collection = Annotated[
    str | None,
    Query(
        max_length=200,
        description="Only this one.",
        examples=["default"],
        json_schema_extra={"pattern": r"^[^\u0000]*$"},
    ),
]
Limit = Annotated[int, Query(ge=1, le=1000, description="How many a page.")]
SourceId = Annotated[
    UUID,
    Path(
        description="As `GET /v1/sources` lists it.",
        examples=["0191b7a2-6c1e-5f3a-9d42-3b5f0e8c7a12"],
    ),
]


def source_routes(services: Services) -> APIRouter:
    routes = APIRouter(tags=["sources"])

    @routes.get("/v1/sources", response_model=SourceList, summary="List sources")
    async def list_sources(
        request: Request,
        collection: Collection = None,
        limit: Limit = 100,
        after: Annotated[UUID | None, Query(description="`next` of the page before.")] = None,
    ) -> Response:
        """Those of collections that one may edit, by id, page by page."""
        started = time.perf_counter()
        mine = await services.acting_for(request)
        found = await run_in_threadpool(
            mine.sources.sources, collection=_named(collection), limit=limit, after=after
        )
        last = found[-1].source_id if len(found) == limit else None
        sources = [from_source(one) for one in found]
        return reply({"sources": sources, "next": last, "timings_ms": since(started)})

    @routes.post("/v1/sources", response_model=AddedSource, status_code=201, summary="Add a source")
    async def add_source(body: SourceRequest, request: Request) -> Response:
        """A worker refreshes it at once, and then every so often."""
        started = time.perf_counter()
        mine = await services.acting_for(request)
        every = timedelta(seconds=body.refresh_every_s) if body.refresh_every_s else None
        added = await run_in_threadpool(
            mine.sources.add_source,
            _named(body.collection) or "",
            body.kind,
            body.settings,
            refresh_every=every,
        )
        return reply({**from_source(added), "timings_ms": since(started)}, status=201)

    @routes.delete(
        "/v1/sources/{source_id}", response_model=RemovedSource, summary="Remove a source"
    )
    async def remove_source(source_id: SourceId, request: Request) -> Response:
        """And the documents that it brought."""
        started = time.perf_counter()
        mine = await services.acting_for(request)
        documents = await run_in_threadpool(mine.sources.remove_source, source_id)
        return reply({"documents": documents, "timings_ms": since(started)})

    @routes.post(
        "/v1/sources/{source_id}/refresh",
        status_code=202,
        response_class=Response,
        summary="Refresh a source",
    )
    async def refresh_source(source_id: SourceId, request: Request) -> Response:
        """As soon as a worker is free."""
        mine = await services.acting_for(request)
        await run_in_threadpool(mine.sources.refresh_source, source_id)
        return Response(status_code=202)

    @routes.get("/v1/jobs", response_model=JobList, summary="List jobs")
    async def list_jobs(
        request: Request,
        collection: Collection = None,
        state: Annotated[JobState | None, Query(description="Only these.")] = None,
        limit: Limit = 100,
        after: Annotated[
            int, Query(ge=0, le=LARGEST_ID, description="`next` of the page before.")
        ] = 0,
    ) -> Response:
        """What workers have to do in collections that one may edit, by id, page by page."""
        started = time.perf_counter()
        name = _named(collection)
        mine = await services.acting_for(request)
        counts = await run_in_threadpool(mine.sources.job_counts, collection=name)
        found = await run_in_threadpool(
            mine.sources.jobs, collection=name, state=state, limit=limit, after=after
        )
        body = {
            "counts": [from_counts(one) for one in counts],
            "jobs": [from_job(one) for one in found],
            "next": found[-1].job_id if len(found) == limit else None,
        }
        return reply({**body, "timings_ms": since(started)})

    @routes.post(
        "/v1/jobs/{job_id}/retry",
        status_code=202,
        response_class=Response,
        summary="Retry a job",
    )
    async def retry_job(
        job_id: Annotated[
            int, Path(ge=1, le=LARGEST_ID, description="As `GET /v1/jobs` lists it.", examples=[7])
        ],
        request: Request,
    ) -> Response:
        """What failed or was given up is tried again now."""
        mine = await services.acting_for(request)
        await run_in_threadpool(mine.sources.retry_job, job_id)
        return Response(status_code=202)

    return routes


def _named(collection: str | None) -> str | None:
    if collection is not None and "\0" in collection:
        raise InvalidInput("A collection's name has no NUL character: remove it.")
    return collection
