"""Answers in memory, each under all that decided it, and found again by the nearest question."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from model_pipeline.domain import Answer
from rag_service.alike import Gist, gist
from rag_service.answer import Event

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXACTLY = 2.0
"""As a threshold: no cosine reaches it, so only the very same question is the same."""
FEW = 2
"""Rows that a matrix begins with; it doubles when it is full, and halves when it is a quarter."""


@dataclass(frozen=True, slots=True)
class Key:
    """All that decides an answer but the question."""

    scope: str
    release_id: str
    k: int
    filter: str


@dataclass(frozen=True, slots=True)
class Kept:
    """`events` are those before Done; `size` is in bytes, about; `since` in seconds."""

    question: str
    gist: Gist
    events: tuple[Event, ...]
    answer: Answer
    size: int
    since: float


class _Group:
    """What was kept under one key: `kept[n]` is of the question whose vector is row n."""

    def __init__(self, dimensions: int) -> None:
        self.kept: list[Kept] = []
        self.place: dict[str, int] = {}
        """Of each question, its n."""
        self._vectors = np.empty((FEW, dimensions), dtype=np.float32)

    def put(self, one: Kept, vector: NDArray[np.float32]) -> None:
        """Of a question that has no place yet."""
        place = self.place[one.question] = len(self.kept)
        self.kept.append(one)
        if place == len(self._vectors):
            self._vectors = np.concatenate((self._vectors, np.empty_like(self._vectors)))
        self._vectors[place] = vector

    def drop(self, question: str) -> None:
        """The last one takes its place, so that no other moves."""
        place, last = self.place.pop(question), self.kept.pop()
        if last.question != question:
            self.kept[place] = last
            self.place[last.question] = place
            self._vectors[place] = self._vectors[len(self.kept)]
        if len(self._vectors) >= max(2 * FEW, 4 * len(self.kept)):
            self._vectors = self._vectors[: len(self._vectors) // 2].copy()

    def nearest(self, vector: NDArray[np.float32], threshold: float) -> list[Kept]:
        """Those of a cosine of `threshold` or more, the nearest first."""
        nearness = self._vectors[: len(self.kept)] @ vector
        near = np.flatnonzero(nearness >= threshold)
        order = near[np.argsort(-nearness[near], kind="stable")]
        return [self.kept[index] for index in order.tolist()]


class KeptAnswers:
    """In memory, for one event loop. Where it is too much, what was longest not asked for goes
    first; nothing stays longer than `seconds`."""

    def __init__(
        self,
        *,
        entries: int = 2_000,
        size: int = 64_000_000,
        seconds: float = 3600.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most_entries, self._most_size, self._seconds = entries, size, seconds
        self._now = now
        self._kept: OrderedDict[tuple[Key, str], Kept] = OrderedDict()
        self._groups: dict[Key, _Group] = {}
        self._scopes: OrderedDict[Hashable, str] = OrderedDict()
        self.size = 0
        self.under_way: dict[tuple[Key, str], asyncio.Event] = {}
        """Set when what is being worked out has come to its end, one way or another."""

    def __len__(self) -> int:
        return len(self._kept)

    def has_same(self, key: Key, question: str) -> bool:
        return (key, question) in self._kept

    def same(self, key: Key, question: str) -> Kept | None:
        """What was kept for this very question."""
        return self._fresh(key, self._kept.get((key, question)))

    def alike(
        self, key: Key, question: str, vector: NDArray[np.float32], threshold: float
    ) -> Kept | None:
        """What was kept for the nearest question of cosine `threshold` or more that asks for the
        same. `vector` is [d], of unit length."""
        group = self._groups.get(key)
        if group is None or threshold > 1 or not (near := group.nearest(vector, threshold)):
            return None
        asked = gist(question)
        return self._fresh(key, next((one for one in near if one.gist == asked), None))

    def keep(
        self,
        key: Key,
        question: str,
        vector: NDArray[np.float32],
        events: Sequence[Event],
        answer: Answer,
    ) -> None:
        size = _size(question, vector, answer)
        self._drop(key, question)
        kept = Kept(question, gist(question), tuple(events), answer, size, self._now())
        self._kept[key, question] = kept
        if key not in self._groups:
            self._groups[key] = _Group(len(vector))
        self._groups[key].put(kept, vector)
        self.size += size
        while len(self._kept) > self._most_entries or self.size > self._most_size:
            self._drop(*next(iter(self._kept)))

    def last_scope(self, asker: Hashable) -> str | None:
        """What `note_scope` was told of them; it may be another by now."""
        return self._scopes.get(asker)

    def note_scope(self, asker: Hashable, scope: str) -> None:
        self._scopes[asker] = scope
        self._scopes.move_to_end(asker)
        if len(self._scopes) > self._most_entries:
            self._scopes.popitem(last=False)

    def _fresh(self, key: Key, kept: Kept | None) -> Kept | None:
        if kept is None:
            return None
        if self._now() - kept.since > self._seconds:
            self._drop(key, kept.question)
            return None
        self._kept.move_to_end((key, kept.question))
        return kept

    def _drop(self, key: Key, question: str) -> None:
        kept = self._kept.pop((key, question), None)
        if kept is None:
            return
        self.size -= kept.size
        self._groups[key].drop(question)
        if not self._groups[key].kept:
            del self._groups[key]


def _size(question: str, vector: NDArray[np.float32], answer: Answer) -> int:
    """Bytes, about: texts by their length, and what surrounds them."""
    texts = [question, answer.answer, answer.answer]
    texts += [citation.quote for citation in answer.citations]
    texts += [part for one in answer.passages for part in (one.content, repr(one.metadata))]
    rest = 1_000 * (1 + len(answer.passages) + len(answer.citations))
    return 2 * vector.nbytes + rest + sum(map(sys.getsizeof, texts))
