"""Answers in memory, each under all that decided it, and found again by the nearest question."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
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
    vector: NDArray[np.float32]
    events: tuple[Event, ...]
    answer: Answer
    size: int
    since: float


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
        self._groups: dict[Key, dict[str, Kept]] = {}
        self._vectors: dict[Key, NDArray[np.float32]] = {}
        self.size = 0
        self.under_way: dict[tuple[Key, str], asyncio.Event] = {}
        """Set when what is being worked out has come to its end, one way or another."""

    def __len__(self) -> int:
        return len(self._kept)

    def has(self, key: Key) -> bool:
        return key in self._groups

    def same(self, key: Key, question: str) -> Kept | None:
        """What was kept for this very question."""
        return self._fresh(key, self._groups.get(key, {}).get(question))

    def alike(
        self, key: Key, question: str, vector: NDArray[np.float32], threshold: float
    ) -> Kept | None:
        """What was kept for the nearest question of cosine `threshold` or more that asks for the
        same. `vector` is [d], of unit length."""
        group = self._groups.get(key)
        if not group or threshold > 1:
            return None
        if key not in self._vectors:
            self._vectors[key] = np.stack([one.vector for one in group.values()])
        nearness = self._vectors[key] @ vector
        near = np.flatnonzero(nearness >= threshold)
        if not len(near):
            return None
        asked, kept = gist(question), list(group.values())
        for index in near[np.argsort(-nearness[near], kind="stable")]:
            if kept[index].gist == asked:
                return self._fresh(key, kept[index])
        return None

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
        kept = Kept(question, gist(question), vector, tuple(events), answer, size, self._now())
        self._kept[key, question] = kept
        self._groups.setdefault(key, {})[question] = kept
        self._vectors.pop(key, None)
        self.size += size
        while len(self._kept) > self._most_entries or self.size > self._most_size:
            self._drop(*next(iter(self._kept)))

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
        self._vectors.pop(key, None)
        del self._groups[key][question]
        if not self._groups[key]:
            del self._groups[key]


def _size(question: str, vector: NDArray[np.float32], answer: Answer) -> int:
    """Bytes, about: texts by their length, and what surrounds them."""
    texts = [question, answer.answer, answer.answer]
    texts += [citation.quote for citation in answer.citations]
    texts += [part for one in answer.passages for part in (one.content, repr(one.metadata))]
    rest = 1_000 * (1 + len(answer.passages) + len(answer.citations))
    return vector.nbytes + rest + sum(map(sys.getsizeof, texts))
