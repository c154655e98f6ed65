"""Keeps what was ingested up to date: changes of the watched files are applied as they come.

What is gone or cannot be read is looked at again once no more of the kind has come for a second,
and believed only then: editors replace a file by taking it away, programs write piece by piece, and
of a folder that is being deleted the files vanish first and the folder last.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from model_pipeline.documents import demo
from model_pipeline.documents.discover import discover, discover_at
from model_pipeline.documents.found import Failed, FieldNames, Found, ReadLimits
from model_pipeline.documents.watcher import Watcher, place
from model_pipeline.errors import InvalidInput, Unavailable
from model_pipeline.ingest import Ingest, IngestSummary, Progress, Seen

SETTLE_S = 1.0
SETTLE_AFTER_RETURN_S = 5.0  # a folder that came back may still be filling
LONGEST_DOUBT_S = 30.0
LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True, slots=True)
class Applied:
    """What happened: to a file, to a whole target (gone, back), or to the database (waiting,
    resumed: then `source` is empty). `documents` counts those written or removed."""

    event: Literal["new", "changed", "removed", "failed", "gone", "back", "waiting", "resumed"]
    source: str = ""
    documents: int = 0
    reason: str | None = None


@dataclass(slots=True)
class _File:
    """The documents it holds, and the disk it lies on."""

    documents: set[str]
    device: int | None


class Watch:
    """Watches from the moment it is made, so that no change during the first pass is missed."""

    def __init__(
        self,
        ingest: Ingest,
        targets: Sequence[str],
        *,
        collection: str,
        tell: Callable[[Applied], None],
        fields: FieldNames = FieldNames(),  # noqa: B008 - frozen
        limits: ReadLimits = ReadLimits(),  # noqa: B008 - frozen
    ) -> None:
        self._ingest = ingest
        self._targets = targets
        self._collection = collection
        self._tell = tell
        self._fields = fields
        self._limits = limits
        watched = list(dict.fromkeys(filter(_is_local, targets)))
        if not watched:
            raise InvalidInput("Nothing of this can be watched: give a file, a folder or a glob.")
        self._watcher = Watcher(watched)
        self._devices = {t: one.device for t, one in self._watcher.places.items() if one.device}
        self._known: dict[str, _File] = {}
        self._told_failed: set[str] = set()
        self._unsaid: dict[str, str] = {}  # written, but not told yet
        # What is to be done; each leaves only when it is done.
        self._back: list[str] = []
        self._changed: dict[str, set[Path]] = {}
        self._doubts: dict[str, set[Path]] = {}
        self._doubted_since = self._settle_at = 0.0
        self._pause = self._retry_at = 0.0

    def first(self, *, sync: bool, progress: Progress = lambda _: None) -> IngestSummary:
        """Ingest everything once."""
        seen = Seen()
        summary = self._ingest.run(
            self._targets,
            collection=self._collection,
            sync=sync,
            fields=self._fields,
            limits=self._limits,
            progress=progress,
            seen=seen,
        )
        for file in seen.failed.keys() | seen.files.keys():
            self._known[file] = _File(seen.files.get(file) or {file}, _device(Path(file)))
        self._told_failed.update(seen.failed)
        return summary

    def follow(self, stop: threading.Event) -> None:
        """Apply what happens until `stop` is set. Raises EmbedderMismatch, ConfigurationError."""
        while not stop.is_set():
            news = self._watcher.wait()
            for target, places in news.changed.items():
                self._changed.setdefault(target, set()).update(places)
            for target in news.gone:
                self._changed.pop(target, None)
                self._doubts.pop(target, None)
                self._tell(Applied("gone", target))
            for target in news.back:
                self._tell(Applied("back", target))
                self._back.append(target)
            if time.monotonic() >= self._retry_at:
                self._apply()

    def _apply(self) -> None:
        if not (self._back or self._changed or self._settled()):
            return
        try:
            while self._back:
                self._reread(self._back[0])
                del self._back[0]
            self._look(self._changed, believe=False)
            if self._settled():  # asked anew: what was just found missing has to wait
                self._look(self._doubts, believe=True)
        except Unavailable as error:
            if not self._pause:
                self._tell(Applied("waiting", reason=error.message))
            self._pause = min(self._pause * 2 or 1.0, LONGEST_PAUSE_S)
            self._retry_at = time.monotonic() + self._pause
            return
        if self._pause:
            self._pause = 0.0
            self._tell(Applied("resumed"))

    def _reread(self, target: str) -> None:
        """Take up a target that came to be there. What it lacks now is removed only where it lies
        on the disk that it lay on first: another one says nothing about what was stored."""
        self._take(target, discover([target], limits=self._limits), believe=False)
        now = self._watcher.places[target]
        if self._devices.setdefault(target, now.device) == now.device and now.kind != "file":
            missing = {
                Path(file)
                for file in self._known
                if now.base in Path(file).parents and _missing(Path(file))
            }
            self._doubt(target, missing, SETTLE_AFTER_RETURN_S)

    def _look(self, pending: dict[str, set[Path]], *, believe: bool) -> None:
        for target in list(pending):
            # A target that is just vanishing is left until the watcher has made up its mind.
            if place(target) != self._watcher.places[target]:
                continue
            places = pending[target]
            missing = {one for one in places if _missing(one)}
            self._take(target, discover_at(target, places - missing), believe=believe)
            if believe:
                self._remove(missing)
            else:
                self._doubt(target, missing)
            del pending[target]

    def _take(self, target: str, found: Iterable[Found | Failed], *, believe: bool) -> None:
        """Read these files, store what changed, and tell of it."""
        items = list(found)
        seen = Seen(written=self._unsaid)
        if items:
            self._run(items, seen)
        whole = seen.files.keys() - seen.failed.keys()
        failed = seen.failed.keys() - self._told_failed
        self._drop_documents(
            {doc for file in whole & self._known.keys() for doc in self._known[file].documents},
            instead={file: seen.files[file] for file in whole},
        )
        for file, held in seen.files.items():
            self._tell_written(file, held, whole=file in whole)
        self._unsaid.clear()
        self._told_failed -= whole
        if not believe:
            self._doubt(target, set(map(Path, failed)))
            return
        for file in sorted(failed):
            first, *others = seen.failed[file]
            more = f" ({len(others)} more like it)" if others else ""
            self._tell(Applied("failed", file, reason=first + more))
        self._told_failed |= failed

    def _run(self, items: Sequence[Found | Failed], seen: Seen) -> None:
        try:
            self._ingest.run_found(
                items,
                collection=self._collection,
                fields=self._fields,
                limits=self._limits,
                seen=seen,
            )
        except InvalidInput as error:
            # One of them the database cannot hold: the others must not wait for it.
            seen.everything.clear()
            if len(items) == 1:
                seen.failed.setdefault(items[0].source, []).append(error.message)
            else:
                for item in items:
                    self._run([item], seen)

    def _tell_written(self, file: str, held: set[str], *, whole: bool) -> None:
        known = self._known.get(file)
        before = known.documents if known else set()
        written = [self._unsaid[document] for document in held if document in self._unsaid]
        removed = len(before - held - {file}) if whole else 0
        self._known[file] = _File(held if whole else (before | held) or {file}, _device(Path(file)))
        if written or removed:
            fresh = not removed and all(one == "new" for one in written)
            self._tell(
                Applied("new" if fresh else "changed", file, documents=len(written) + removed)
            )

    def _remove(self, missing: set[Path]) -> None:
        """Remove the documents of files that are gone, alone or with their folder."""
        gone = [
            file
            for file, known in self._known.items()
            if missing
            and not missing.isdisjoint({Path(file), *Path(file).parents})
            and _missing(Path(file))
            and known.device == _device(Path(file))  # or else its disk is gone, and not the file
        ]
        self._drop_documents(
            {document for file in gone for document in self._known[file].documents},
            instead={file: set() for file in gone},
        )
        for file in gone:
            documents = len(self._known.pop(file).documents)
            self._told_failed.discard(file)
            self._tell(Applied("removed", file, documents=documents))

    def _drop_documents(self, documents: set[str], *, instead: dict[str, set[str]]) -> None:
        """Remove those that no file holds any more, where `instead` tells what some hold now."""
        documents = documents.difference(*instead.values())
        if documents:
            documents = documents.difference(
                *(known.documents for file, known in self._known.items() if file not in instead)
            )
        if documents:
            self._ingest.remove(documents, collection=self._collection)

    def _settled(self) -> bool:
        return bool(self._doubts) and time.monotonic() >= self._settle_at

    def _doubt(self, target: str, places: set[Path], settle: float = SETTLE_S) -> None:
        if not places:
            return
        now = time.monotonic()
        if not self._doubts:
            self._doubted_since = now
        self._doubts.setdefault(target, set()).update(places)
        self._settle_at = min(now + settle, self._doubted_since + LONGEST_DOUBT_S)


def _is_local(target: str) -> bool:
    return target != demo.TARGET and urlsplit(target).scheme not in ("http", "https")


def _missing(path: Path) -> bool:
    """Whether it is certain that nothing is there: a disk that fails tells nothing."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False


def _device(path: Path) -> int | None:
    """The disk that it lies on, or of what is left above it."""
    for one in (path, *path.parents):
        try:
            return one.stat().st_dev
        except (OSError, ValueError):
            continue
    return None
