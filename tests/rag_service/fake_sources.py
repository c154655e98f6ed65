"""Sources and jobs held in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from model_pipeline.errors import InvalidInput, NotFound
from model_pipeline.store.sources import JobCounts, JobState, Kind, QueuedJob, Source


class FakeSources:
    """What is added waits for a worker that never comes; tests set the states."""

    def __init__(self) -> None:
        self.held: dict[UUID, Source] = {}
        self.queue: dict[int, QueuedJob] = {}
        self.counts: list[JobCounts] = []

    def add_source(
        self,
        collection: str,
        kind: Kind,
        settings: Mapping[str, Any],
        *,
        refresh_every: timedelta | None,
    ) -> Source:
        if "refused" in str(settings):
            raise InvalidInput('An address of a source begins with "http://": mend it.')
        every = int(refresh_every.total_seconds()) if refresh_every else None
        source = Source(
            uuid4(), collection, kind, settings, every, None, None, None, True, "waiting"
        )
        self.held[source.source_id] = source
        return source

    def sources(self, *, collection: str | None, limit: int, after: UUID | None) -> list[Source]:
        found = sorted(self.held.values(), key=lambda one: one.source_id)
        return [
            one
            for one in found
            if collection in (None, one.collection) and (after is None or one.source_id > after)
        ][:limit]

    def refresh_source(self, source_id: UUID) -> None:
        self._known(source_id)
        self.held[source_id] = replace(self.held[source_id], state="waiting")

    def remove_source(self, source_id: UUID) -> int:
        self._known(source_id)
        del self.held[source_id]
        return 2

    def jobs(
        self, *, collection: str | None, state: JobState | None, limit: int, after: int
    ) -> list[QueuedJob]:
        found = sorted(self.queue.values(), key=lambda one: one.job_id)
        return [
            one
            for one in found
            if collection in (None, one.collection)
            and state in (None, one.state)
            and one.job_id > after
        ][:limit]

    def job_counts(self, *, collection: str | None) -> list[JobCounts]:
        return [one for one in self.counts if collection in (None, one.collection)]

    def retry_job(self, job_id: int) -> None:
        if job_id not in self.queue:
            raise NotFound(f"There is no job {job_id}: it may be done.")
        self.queue[job_id] = replace(self.queue[job_id], state="waiting", reason=None)

    def _known(self, source_id: UUID) -> None:
        if source_id not in self.held:
            raise NotFound(f"There is no source {source_id}.")
