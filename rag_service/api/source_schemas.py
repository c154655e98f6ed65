"""The shapes of sources and jobs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from model_pipeline.store.sources import JobCounts, JobState, Kind, QueuedJob, Source
from rag_service.api.schemas import FailureModel, Name, Strict, Timings, Whole

SITEMAP = "https://example.org/sitemap.xml"
State = Annotated[
    JobState | None,
    Field(description="`dead`: given up, until it is retried. Null: nothing is to be done."),
]
Time = Annotated[str | None, Field(description="ISO 8601, UTC.", examples=["2026-01-31T12:00:00Z"])]
Reason = Annotated[
    str | None,
    Field(description="Why the last attempt failed.", examples=[f"{SITEMAP} answered 500."]),
]
Progress = Annotated[
    dict[str, int],
    Field(description="Of a refresh: documents met so far.", examples=[{"found": 12, "new": 3}]),
]


class SourceRequest(Strict):
    kind: Annotated[
        Kind, Field(description="With accounts, `web` alone: the others are the operator's.")
    ]
    settings: Annotated[
        dict[str, Any],
        Field(
            description='web: `{"sitemap": url}` or `{"urls": [...]}`; files: `{"paths": [...]}`; '
            'table: `{"table", "id", "content", "title", "metadata": [...]}`; '
            'bucket: `{"bucket", "prefix"}`.',
            examples=[{"sitemap": SITEMAP}],
        ),
    ]
    collection: Name = "default"
    refresh_every_s: Annotated[
        Whole | None,
        Field(ge=60, le=31_622_400, description="Null: when asked.", examples=[3_600]),
    ] = None


class ResultModel(BaseModel):
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    failed: int = 0
    failures: Annotated[list[FailureModel], Field(description="The first hundred.")] = []


class SourceModel(BaseModel):
    source_id: UUID
    collection: Annotated[str, Field(examples=["default"])]
    kind: Kind
    name: Annotated[str, Field(description="What it reads, in short.", examples=[SITEMAP])]
    settings: Annotated[dict[str, Any], Field(examples=[{"sitemap": SITEMAP}])]
    refresh_every_s: Annotated[int | None, Field(examples=[3_600])]
    refresh_at: Time
    refreshed_at: Time
    last_result: ResultModel | None
    trusted: Annotated[bool, Field(description="Whether it may reach more than the public web.")]
    state: State
    job_id: int | None
    progress: Progress | None
    reason: Reason


class AddedSource(SourceModel):
    timings_ms: Timings


class SourceList(BaseModel):
    sources: list[SourceModel]
    next: Annotated[UUID | None, Field(description="Give it as `after` for the next page.")]
    timings_ms: Timings


class RemovedSource(BaseModel):
    documents: Annotated[int, Field(description="How many went with it.", examples=[12])]
    timings_ms: Timings


class CountsModel(BaseModel):
    collection: Annotated[str, Field(examples=["default"])]
    of: Annotated[
        Literal["documents", "sources"],
        Field(description="Documents to be indexed, or sources to be refreshed."),
    ]
    waiting: Annotated[int, Field(examples=[3])]
    running: Annotated[int, Field(examples=[1])]
    dead: Annotated[int, Field(examples=[0])]


class JobModel(BaseModel):
    job_id: Annotated[int, Field(examples=[7])]
    collection: Annotated[str, Field(examples=["default"])]
    state: JobState
    document_id: UUID | None
    source_id: UUID | None
    name: Annotated[str, Field(description="The document or source.", examples=["hours.md"])]
    attempts: int
    due_at: Annotated[str, Field(examples=["2026-01-31T12:00:00Z"])]
    progress: Progress
    reason: Reason


class JobList(BaseModel):
    counts: Annotated[list[CountsModel], Field(description="Of all jobs, by collection.")]
    jobs: list[JobModel]
    next: Annotated[int | None, Field(description="Give it as `after` for the next page.")]
    timings_ms: Timings


def from_source(source: Source) -> dict[str, Any]:
    return {**asdict(source), "name": source.name}


def from_counts(counts: JobCounts) -> dict[str, Any]:
    return asdict(counts)


def from_job(job: QueuedJob) -> dict[str, Any]:
    return asdict(job)
