"""Documents in, searchable chunks out: read, split, embed, store; unchanged ones are skipped.

One batch is embedded while the one before it is written. Each document is replaced within one
transaction, so that a kill at any moment leaves every document whole: as it was, or as it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from uuid import UUID

from model_pipeline.documents.discover import discover
from model_pipeline.documents.found import Failed, FieldNames, Found, ReadLimits
from model_pipeline.documents.read import is_container, read
from model_pipeline.documents.split import Splitter
from model_pipeline.domain import Document, Embedder
from model_pipeline.errors import EmbedderMismatch, UnreadableDocument
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.rows import EmbeddedDocument

# A batch is closed at whichever comes first; one larger document is a batch of its own.
BATCH_DOCUMENTS = 256
BATCH_CHARACTERS = 400_000


@dataclass(frozen=True, slots=True)
class IngestSummary:
    """Counts are documents, `chunks` those written; `failures` have (source, reason)."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    chunks: int = 0
    failures: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0

    @property
    def failed(self) -> int:
        return len(self.failures)


@dataclass(slots=True)
class Seen:
    """What a run came across: sources by origin, and origins that --sync must leave alone; the
    documents of each file, the reasons of each that was not read or not read whole, and what was
    written, "new" or "changed"."""

    sources: dict[str, set[str]] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)
    everything: set[str] = field(default_factory=set)
    files: dict[str, set[str]] = field(default_factory=dict)
    failed: dict[str, list[str]] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)

    def add(self, origin: str, source: str) -> bool:
        """False for a source that this run already has, from whatever origin."""
        if source in self.everything:
            return False
        self.everything.add(source)
        self.sources.setdefault(origin, set()).add(source)
        return True


Using = tuple[Embedder, Splitter]
Follow = Callable[[], Using]
Item = tuple[Document, str]  # a document and the origin it was found under
Progress = Callable[[IngestSummary], None]


class Ingest:
    """One way in for the command line, the API and the worker. `follow` gives the embedder that
    the store was switched to, with its splitter; without it a switch is an EmbedderMismatch."""

    def __init__(
        self, store: PgStore, embedder: Embedder, splitter: Splitter, follow: Follow | None = None
    ) -> None:
        self._store = store
        self.using = (embedder, splitter)
        self._follow = follow

    def run(
        self,
        targets: Sequence[str],
        *,
        collection: str | UUID,
        sync: bool = False,
        fields: FieldNames = FieldNames(),  # noqa: B008 - frozen
        limits: ReadLimits = ReadLimits(),  # noqa: B008 - frozen
        progress: Progress = lambda _: None,
        seen: Seen | None = None,
    ) -> IngestSummary:
        """Ingest files, folders, globs and URLs; with `sync`, documents of these targets that are
        no longer there are removed. An empty `seen` handed in tells in detail what the run met.

        A document that cannot be read is a failure in the summary and stops nothing else. What
        stops the run: StoreUnavailable, EmbedderMismatch.
        """
        return self.run_found(
            discover(targets, limits=limits),
            collection=collection,
            sync=sync,
            fields=fields,
            limits=limits,
            progress=progress,
            seen=seen,
        )

    def run_found(
        self,
        found: Iterable[Found | Failed],
        *,
        collection: str | UUID,
        sync: bool = False,
        fields: FieldNames = FieldNames(),  # noqa: B008 - frozen
        limits: ReadLimits = ReadLimits(),  # noqa: B008 - frozen
        progress: Progress = lambda _: None,
        seen: Seen | None = None,
    ) -> IngestSummary:
        started = time.perf_counter()
        self.register()
        collection_id = (
            collection
            if isinstance(collection, UUID)
            else self._store.ensure_collection(collection)
        )
        seen = seen or Seen()
        failures: list[tuple[str, str]] = []
        summary = IngestSummary()
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ingest-write") as writer:
            writing: Future[None] | None = None
            for batch in _batches(_documents(found, fields, limits, seen, failures)):
                using = self.using
                prepared, counts = self._prepare(collection_id, batch, seen, using)
                if writing is not None:
                    writing.result()
                writing = None
                if prepared:
                    writing = writer.submit(
                        self._write, collection_id, batch, seen, prepared, using[0]
                    )
                summary = _add(summary, counts, failures, started)
                progress(summary)
            if writing is not None:
                writing.result()
        removed = self._remove_vanished(collection_id, seen) if sync else 0
        summary = _add(replace(summary, removed=removed), IngestSummary(), failures, started)
        progress(summary)
        return summary

    def remove(self, sources: Iterable[str], *, collection: str) -> int:
        """Remove these documents; returns how many there were."""
        return self._store.remove_sources(self._store.ensure_collection(collection), list(sources))

    def register(self) -> None:
        """Note in the store whose vectors are written. Raises EmbedderMismatch."""
        embedder, _ = self.using
        try:
            self._store.register_embedder(embedder.name, embedder.dimensions, embedder.spec)
        except EmbedderMismatch as error:
            self.switch(embedder, error)
            embedder, _ = self.using
            self._store.register_embedder(embedder.name, embedder.dimensions, embedder.spec)

    def switch(self, before: Embedder, error: EmbedderMismatch) -> None:
        """Take the embedder that the store was switched to; raises `error` where it was not."""
        if self.using[0].name != before.name:
            return  # taken by another batch
        using = self._follow() if self._follow else self.using
        if using[0].name == before.name:
            raise error
        self.using = using

    def _write(
        self,
        collection_id: UUID,
        batch: Sequence[Item],
        seen: Seen,
        prepared: Sequence[EmbeddedDocument],
        embedder: Embedder,
    ) -> None:
        try:
            self._store.replace_documents(
                collection_id, prepared, made_by=(embedder.name, embedder.dimensions)
            )
        except EmbedderMismatch as error:
            self.switch(embedder, error)
            using = self.using
            prepared, _ = self._prepare(collection_id, batch, seen, using)
            self._store.replace_documents(
                collection_id, prepared, made_by=(using[0].name, using[0].dimensions)
            )

    def _prepare(
        self,
        collection_id: UUID,
        batch: Sequence[Item],
        seen: Seen,
        using: Using,
    ) -> tuple[list[EmbeddedDocument], IngestSummary]:
        """Split and embed the documents of a batch that are new or changed."""
        _, splitter = using
        stored = self._store.content_hashes(collection_id, [doc.source for doc, _ in batch])
        fresh = [
            (document, origin)
            for document, origin in batch
            if stored.get(document.source) != _hash(document, splitter)
        ]
        prepared = embed(fresh, using)
        for document, _ in fresh:
            seen.written[document.source] = "changed" if document.source in stored else "new"
        changed = sum(document.source in stored for document, _ in fresh)
        return prepared, IngestSummary(
            new=len(fresh) - changed,
            changed=changed,
            unchanged=len(batch) - len(fresh),
            chunks=sum(len(item.chunks) for item in prepared),
        )

    def _remove_vanished(self, collection_id: UUID, seen: Seen) -> int:
        vanished = [
            source
            for origin in seen.sources.keys() - seen.unsure
            for source in self._store.sources_from(collection_id, origin) - seen.sources[origin]
        ]
        return self._store.remove_sources(collection_id, vanished)


def embed(items: Sequence[Item], using: Using) -> list[EmbeddedDocument]:
    """Split and embed documents, together."""
    embedder, splitter = using
    split = [splitter.split(document) for document, _ in items]
    vectors = embedder.embed(
        [
            chunk.text_to_embed(document.title)
            for (document, _), chunks in zip(items, split, strict=True)
            for chunk in chunks
        ]
    )
    prepared, at = [], 0
    for (document, origin), chunks in zip(items, split, strict=True):
        rows = vectors[at : at + len(chunks)]
        prepared.append(EmbeddedDocument(document, _hash(document, splitter), origin, chunks, rows))
        at += len(chunks)
    return prepared


def _hash(document: Document, splitter: Splitter) -> str:
    return f"{splitter.version}:{document.content_hash()}"


def _documents(
    found: Iterable[Found | Failed],
    fields: FieldNames,
    limits: ReadLimits,
    seen: Seen,
    failures: list[tuple[str, str]],
) -> Iterator[Item]:
    """Every readable document with its origin; what fails is noted on the way."""

    def note(failed: Failed, file: str) -> None:
        seen.failed.setdefault(file, []).append(failed.reason)
        failures.append((failed.source, failed.reason))
        kept = seen.sources.setdefault(failed.origin, set())
        if failed.keeps != "nothing":  # it may be there, only unreadable today
            kept.add(failed.source)

    for item in found:
        if isinstance(item, Failed):
            note(item, item.source)
            if item.keeps == "origin":
                seen.unsure.add(item.origin)
            continue
        seen.sources.setdefault(item.origin, set())
        held = seen.files.setdefault(item.source, set())
        try:
            for document in read(item, fields, limits=limits):
                if isinstance(document, Failed):
                    note(document, item.source)
                    if is_container(item, fields):
                        seen.unsure.add(item.origin)  # which documents it held is not known
                    continue
                held.add(document.source)
                if seen.add(item.origin, document.source):
                    yield document, item.origin
        except UnreadableDocument as error:
            note(Failed(item.source, error.message, item.origin), item.source)
            if is_container(item, fields):
                seen.unsure.add(item.origin)


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    batch: list[Item] = []
    characters = 0
    for item in items:
        batch.append(item)
        characters += len(item[0].content)
        if len(batch) >= BATCH_DOCUMENTS or characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _add(
    total: IngestSummary,
    counts: IngestSummary,
    failures: Sequence[tuple[str, str]],
    started: float,
) -> IngestSummary:
    return IngestSummary(
        new=total.new + counts.new,
        changed=total.changed + counts.changed,
        unchanged=total.unchanged + counts.unchanged,
        removed=total.removed,
        chunks=total.chunks + counts.chunks,
        failures=tuple(failures),
        seconds=time.perf_counter() - started,
    )
