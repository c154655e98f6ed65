"""The worker: takes jobs from the queue until it is stopped.

Documents to be indexed and sources to be refreshed have a lane each, so that a long refresh keeps
no edit waiting. In the first, one batch is embedded while the one before it is written.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

from model_pipeline.documents.bucket import Storage
from model_pipeline.documents.found import Failed, FieldNames, Found, ReadLimits, from_text
from model_pipeline.documents.read import read
from model_pipeline.documents.sources import find
from model_pipeline.domain import Document, Embedder
from model_pipeline.errors import (
    Conflict,
    EmbedderMismatch,
    InvalidInput,
    PromptlyError,
    Unavailable,
    UnreadableDocument,
)
from model_pipeline.ingest import Ingest, IngestSummary, embed
from model_pipeline.store.queue import (
    MAX_ATTEMPTS,
    IndexJob,
    Job,
    LeaseLost,
    News,
    PgQueue,
    RefreshJob,
)
from model_pipeline.store.rows import EmbeddedDocument

# A batch takes about half a second on two cores: that long a single edit may have to wait.
BATCH_DOCUMENTS = 64
BATCH_CHARACTERS = 60_000
NEWS_S = 0.5
LOOK_S = 5.0  # between looks for what nobody told of: due retries, leases that ran out
PROGRESS_S = 0.5
LONGEST_PAUSE_S = 30.0
SHOWN_FAILURES = 100


@dataclass(frozen=True, slots=True)
class Prepared:
    """Documents ready to be stored, and the embedder that made their vectors."""

    done: Sequence[tuple[IndexJob, EmbeddedDocument]]
    embedder: Embedder


@dataclass(frozen=True, slots=True)
class Worked:
    """What the worker did. `documents` counts those indexed; `name` is a document's source or a
    source's id."""

    event: Literal["indexed", "refreshed", "failed", "dead", "waiting", "resumed"]
    name: str = ""
    documents: int = 0
    reason: str | None = None


class Worker:
    """`tell` is called from the worker's threads, one call at a time."""

    def __init__(
        self,
        queue: PgQueue,
        news: News,
        ingest: Ingest,
        *,
        tell: Callable[[Worked], None],
        storage: Storage | None = None,
    ) -> None:
        self._queue = queue
        self._news = news
        self._ingest = ingest
        self._tell_one = tell
        self._storage = storage
        self._telling = threading.Lock()
        self._stop = threading.Event()
        self._bells = (threading.Event(), threading.Event())
        self._error: BaseException | None = None

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, or what was begun is given back at an error that no waiting
        mends: EmbedderMismatch, ConfigurationError."""
        lanes = (self._index, self._refresh, self._keep)
        threads = [
            threading.Thread(target=self._guarded, args=(lane,), name=f"worker{lane.__name__}")
            for lane in lanes
        ]
        for thread in threads:
            thread.start()
        try:
            while not (stop.is_set() or self._stop.is_set()):
                stop.wait(0.2)
        finally:
            self._stop.set()
            self._ring()
            for thread in threads:
                thread.join()
            self._news.close()
            with suppress(Unavailable):
                self._queue.release()
        if self._error is not None:
            raise self._error

    def _guarded(self, lane: Callable[[], None]) -> None:
        try:
            lane()
        except BaseException as error:  # handed to the thread that called run()
            self._error = self._error or error
        finally:
            self._stop.set()
            self._ring()

    def _ring(self) -> None:
        for bell in self._bells:
            bell.set()

    def _tell(self, worked: Worked) -> None:
        with self._telling:
            self._tell_one(worked)

    # The keeper: leases, schedules, news

    def _keep(self) -> None:
        kept, pause = 0.0, 0.0
        while not self._stop.is_set():
            try:
                if time.monotonic() - kept >= LOOK_S:
                    self._queue.extend_leases()
                    self._queue.ask_for_due_refreshes()
                    kept = time.monotonic()
                    self._ring()
                if self._news.wait(NEWS_S):
                    self._ring()
                if pause:
                    self._tell(Worked("resumed"))
                    pause = 0.0
            except Unavailable as error:
                if not pause:
                    self._tell(Worked("waiting", reason=error.message))
                pause = min(pause * 2 or 1.0, LONGEST_PAUSE_S)
                self._stop.wait(pause)

    # Documents to be indexed

    def _index(self) -> None:
        bell = self._bells[0]
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="worker-write") as writer:
            writing: Future[None] | None = None
            while not self._stop.is_set():
                bell.clear()
                try:
                    batch = self._queue.claim_documents(
                        documents=BATCH_DOCUMENTS, characters=BATCH_CHARACTERS
                    )
                    prepared = self._prepare(batch)
                    if writing is not None:
                        writing.result()
                    writing = writer.submit(self._write, prepared) if prepared else None
                    if not (batch or writing):
                        bell.wait(LOOK_S)
                except Unavailable:
                    writing = None
                    self._stop.wait(1.0)  # the keeper tells
            if writing is not None:
                with suppress(Unavailable):
                    writing.result()

    def _prepare(self, batch: Sequence[IndexJob]) -> Prepared | None:
        """What can be embedded of a batch; the rest is ended or failed."""
        readable: list[tuple[IndexJob, Document]] = []
        for job in batch:
            if job.content is None:
                self._queue.end(job)
            elif job.attempts > MAX_ATTEMPTS:
                self._fail(job, job.source, "Each worker that took it died.", retry=False)
            else:
                try:
                    readable.append((job, _document(job)))
                except UnreadableDocument as error:
                    self._fail(job, job.source, error.message, retry=False)
        return self._embed(readable) if readable else None

    def _embed(self, readable: Sequence[tuple[IndexJob, Document]]) -> Prepared | None:
        using = self._ingest.using
        jobs = [job for job, _ in readable]
        try:
            made = embed([(document, job.origin) for job, document in readable], using)
        except Exception as error:  # whatever an embedder raises: the queue keeps the reason
            self._fail_all(jobs, error)
            return None
        return Prepared(list(zip(jobs, made, strict=True)), using[0])

    def _write(self, prepared: Prepared) -> None:
        """Raises EmbedderMismatch where the embedder is another and cannot be followed."""
        by = prepared.embedder
        try:
            count = self._queue.write_chunks(prepared.done, made_by=(by.name, by.dimensions))
        except EmbedderMismatch as error:
            self._ingest.switch(by, error)
            again = self._embed([(job, item.document) for job, item in prepared.done])
            if again is not None:
                self._write(again)
            return
        except InvalidInput as error:
            self._fail_all([job for job, _ in prepared.done], error)
            return
        if count:
            self._tell(Worked("indexed", prepared.done[0][0].source, count))

    def _fail_all(self, jobs: Sequence[IndexJob], error: Exception) -> None:
        """Of several it is not known whose fault it was: each is tried again alone."""
        reason = error.message if isinstance(error, PromptlyError) else f"{error!r}"
        for job in jobs:
            self._fail(job, job.source, reason, retry=len(jobs) > 1 or not _final(error))

    def _fail(self, job: Job, name: str, reason: str, *, retry: bool = True) -> None:
        dead = self._queue.fail(job, reason, retry=retry)
        self._tell(Worked("dead" if dead else "failed", name, reason=reason))

    # Sources to be refreshed

    def _refresh(self) -> None:
        bell = self._bells[1]
        while not self._stop.is_set():
            bell.clear()
            try:
                job = self._queue.claim_source()
                if job is None:
                    bell.wait(LOOK_S)
                else:
                    self._refresh_one(job)
            except Unavailable:
                self._stop.wait(1.0)

    def _refresh_one(self, job: RefreshJob) -> None:
        if job.attempts > MAX_ATTEMPTS:
            self._fail(job, str(job.source_id), "Each worker that took it died.", retry=False)
            return
        try:
            try:
                summary = self._apply(job)
            finally:
                self._queue.remove_leftovers(job)
        except (LeaseLost, _Stopped):
            return
        except Unavailable:
            raise
        except Exception as error:  # whatever a source makes its reader raise
            reason = error.message if isinstance(error, PromptlyError) else f"{error!r}"
            self._fail(job, str(job.source_id), reason)
            return
        if summary.failures and not summary.new + summary.changed + summary.unchanged:
            self._fail(job, str(job.source_id), summary.failures[0][1])
            return
        self._queue.end_refresh(job, _result(summary))
        written = summary.new + summary.changed
        self._tell(Worked("refreshed", str(job.source_id), written))

    def _apply(self, job: RefreshJob) -> IngestSummary:
        if job.kind == "table":
            self._queue.refresh_table(job.source_id)
            return IngestSummary()
        found, latest, noted = 0, IngestSummary(), 0.0

        def note() -> None:
            nonlocal noted
            if self._stop.is_set():
                raise _Stopped
            if time.monotonic() - noted >= PROGRESS_S:
                noted = time.monotonic()
                self._queue.note_progress(job, {"found": found, **_counts(latest)})

        def counted(items: Iterator[Found | Failed]) -> Iterator[Found | Failed]:
            nonlocal found
            for item in items:
                found += 1
                note()
                yield item

        def progress(summary: IngestSummary) -> None:
            nonlocal latest
            latest = summary
            note()

        limits = ReadLimits()
        items = find(
            job.kind,
            job.settings,
            origin=job.origin,
            limits=limits,
            trusted=job.trusted,
            storage=self._storage,
        )
        return self._ingest.run_found(
            counted(items),
            collection=job.collection_id,
            sync=True,
            fields=FieldNames(**job.settings.get("fields", {})),
            limits=limits,
            progress=progress,
        )


class _Stopped(Exception):
    pass


def _document(job: IndexJob) -> Document:
    """Raises UnreadableDocument."""
    assert job.content is not None
    plain = Document(job.source, job.title, job.content, job.metadata)
    if not job.content.strip():
        return plain
    found = from_text(
        job.source, job.content.encode("utf-8"), title=job.title, metadata=job.metadata
    )
    parsed = next(read(found, FieldNames(), limits=ReadLimits()))
    if isinstance(parsed, Failed):
        raise UnreadableDocument(parsed.reason)
    return replace(parsed, source=job.source, title=job.title, metadata=job.metadata)


def _final(error: Exception) -> bool:
    """Whether it would fail again."""
    return isinstance(error, InvalidInput | Conflict)


def _counts(summary: IngestSummary) -> dict[str, int]:
    names = ("new", "changed", "unchanged", "removed", "failed", "chunks")
    return {name: getattr(summary, name) for name in names}


def _result(summary: IngestSummary) -> dict[str, object]:
    failures = [{"source": source, "reason": why} for source, why in summary.failures]
    return {
        **_counts(summary),
        "failures": failures[:SHOWN_FAILURES],
        "seconds": round(summary.seconds, 3),
    }
