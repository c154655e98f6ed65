"""Blocks of work over processes: in their order, and only a few of them on the way at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 2  # blocks that each other process is given at a time
HELD = 32  # blocks for each process that may wait for one before them


def in_order(function: Callable[[T], R], blocks: Iterable[T], *, processes: int) -> Iterator[R]:
    """`function` of each of `blocks`, in this process and `processes` - 1 others. It does not wait
    for them to start, which takes them as long as some twenty blocks of texts, but works too.
    `function` stands at the top of a module, since new processes are started (spawned) and import
    it. What a process that dies leaves undone is done here."""
    others = processes - 1
    if not others:
        yield from map(function, blocks)
        return
    waiting: deque[tuple[T, Future[R]]] = deque()
    with ProcessPoolExecutor(others, mp_context=get_context("spawn")) as pool:
        for block in blocks:
            busy = sum(not future.done() for _, future in waiting)
            given = _submitted(pool, function, block) if busy < AHEAD * others else None
            waiting.append((block, given or _made(function, block)))
            while waiting and (waiting[0][1].done() or len(waiting) > HELD * processes):
                yield _result(function, *waiting.popleft())
        while waiting:
            yield _result(function, *waiting.popleft())


def _submitted(pool: ProcessPoolExecutor, function: Callable[[T], R], block: T) -> Future[R] | None:
    try:
        return pool.submit(function, block)
    except BrokenProcessPool:
        return None


def _made(function: Callable[[T], R], block: T) -> Future[R]:
    future: Future[R] = Future()
    future.set_result(function(block))
    return future


def _result(function: Callable[[T], R], block: T, future: Future[R]) -> R:
    try:
        return future.result()
    except BrokenProcessPool:
        return function(block)
