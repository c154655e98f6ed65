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


def in_order(function: Callable[[T], R], blocks: Iterable[T], *, processes: int) -> Iterator[R]:
    """`function` of each of `blocks`, in this process where `processes` is 1. `function` stands at
    the top of a module, since new processes are started (spawned) and import it. What a process
    that dies leaves undone is done here."""
    if processes == 1:
        yield from map(function, blocks)
        return
    waiting: deque[tuple[T, Future[R] | None]] = deque()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for block in blocks:
            waiting.append((block, _submitted(pool, function, block)))
            if len(waiting) > 2 * processes:
                yield _result(function, *waiting.popleft())
        while waiting:
            yield _result(function, *waiting.popleft())


def _submitted(pool: ProcessPoolExecutor, function: Callable[[T], R], block: T) -> Future[R] | None:
    try:
        return pool.submit(function, block)
    except BrokenProcessPool:
        return None


def _result(function: Callable[[T], R], block: T, future: Future[R] | None) -> R:
    if future is None:
        return function(block)
    try:
        return future.result()
    except BrokenProcessPool:
        return function(block)
