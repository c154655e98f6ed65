"""Switching to another embedder while everything goes on: fill its vectors beside the old ones,
build their index, swap. Killed at any moment, the next run goes on where it stopped.

Chunks stay as they were split: by the tokens of the embedder that was active at their ingest.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from model_pipeline.domain import Embedder
from model_pipeline.errors import Conflict
from model_pipeline.in_use import require_same
from model_pipeline.store.standby import NotYet, Standby, alone, standby_status

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Phase = Literal["filling", "indexing", "switching"]
Outcome = Literal["switched", "already active", "stopped"]
BATCH = 256
# Writers wait while the last chunks are embedded: no longer than this, far below their time limit.
WRITERS_WAIT_S = 5.0
PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class ReembedProgress:
    """`filled` of `chunks` have a vector of the new embedder, which embeds `rate` a second."""

    phase: Phase
    filled: int
    chunks: int
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Reembedded:
    """How a run ended. Searches waited for `locked_s`, and were answered all the while."""

    outcome: Outcome
    embedder: str
    embedded: int = 0
    seconds: float = 0.0
    locked_s: float = 0.0


class Reembed:
    """Makes `embedder` the active one of the store at `conninfo`, from wherever the last run
    stopped; back to the previous one the same way. `progress` is told of every batch; `stop`, once
    set, ends a run after the batch under way."""

    def __init__(
        self,
        conninfo: str,
        embedder: Embedder,
        *,
        progress: Callable[[ReembedProgress], None] = lambda _: None,
        stop: threading.Event | None = None,
    ) -> None:
        self._conninfo = conninfo
        self._embedder = embedder
        self._progress = progress
        self._stop = stop or threading.Event()
        self._filled = self._chunks = self._embedded = 0
        self._embedding_s = 0.0

    def run(self) -> Reembedded:
        """Raises Conflict where another program re-embeds, or another switch is open."""
        started = time.perf_counter()
        outcome: Outcome = "already active"
        locked = 0.0
        new = self._embedder
        with alone(self._conninfo) as standby:
            standby.settle()  # a switch that was killed right after it was done
            if standby.begin(new.name, new.dimensions, new.spec):
                swapped = self._switch(standby)
                outcome, locked = ("stopped", 0.0) if swapped is None else ("switched", swapped)
            standby.settle()
        return Reembedded(outcome, new.name, self._embedded, time.perf_counter() - started, locked)

    def _switch(self, standby: Standby) -> float | None:
        """The seconds for which readers were locked out; None where it was stopped before."""
        while not self._stop.is_set():
            missing, self._chunks = standby.missing()
            self._filled = self._chunks - missing
            self._tell("filling")
            self._fill(standby)
            if self._stop.is_set():
                break
            self._tell("indexing")
            standby.build_index()
            self._tell("switching")
            try:
                return standby.swap(self._embed, max(1, int(self._rate() * WRITERS_WAIT_S)))
            except NotYet:
                self._stop.wait(PAUSE_S)
        return None

    def _fill(self, standby: Standby) -> None:
        """One pass over what is not filled. While a batch is written the next is embedded."""
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="reembed-write") as writer:
            writing: Future[int] | None = None
            batch = standby.unfilled(None, BATCH)
            while batch and not self._stop.is_set():
                vectors = self._embed([one.text for one in batch])
                if writing is not None:
                    self._count(writing.result())
                following = standby.unfilled(batch[-1].chunk_id, BATCH)
                writing = writer.submit(standby.fill, batch, vectors)
                batch = following
            if writing is not None:
                self._count(writing.result())

    def _embed(self, texts: list[str]) -> NDArray[np.float32]:
        started = time.perf_counter()
        vectors = self._embedder.embed(texts)
        self._embedding_s += time.perf_counter() - started
        self._embedded += len(texts)
        return vectors

    def _rate(self) -> float:
        return self._embedded / self._embedding_s if self._embedding_s else 0.0

    def _count(self, filled: int) -> None:
        self._filled += filled
        self._tell("filling")

    def _tell(self, phase: Phase) -> None:
        self._progress(ReembedProgress(phase, self._filled, self._chunks, self._rate()))


def back(
    conninfo: str,
    open_embedder: Callable[[str], Embedder],
    *,
    progress: Callable[[ReembedProgress], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> Reembedded:
    """Return to the embedder of before, as long as the switch from it is not confirmed."""
    previous = standby_status(conninfo).standby
    if previous is None or previous.state != "previous":
        raise Conflict("There is no switch to take back: `promptly reembed status` says how it is.")
    embedder = open_embedder(previous.spec)
    require_same(embedder, previous)
    return Reembed(conninfo, embedder, progress=progress, stop=stop).run()


def confirm(conninfo: str) -> int | None:
    """Drop the previous embedder's vectors; returns the bytes of their index, free at once, None
    where there are none. Raises Conflict before the switch."""
    with alone(conninfo) as standby:
        return standby.drop("previous")


def cancel(conninfo: str) -> int | None:
    """Give up a switch that is not done, and its vectors; returns as `confirm` does. Raises
    Conflict after the switch."""
    with alone(conninfo) as standby:
        return standby.drop("next")
