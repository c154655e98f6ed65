"""A process that reads the files which could hang or burst this one; kept warm between files.

It is started afresh, never forked: a fork of a service with threads inherits locked locks.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle  # both ends are this program
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from threading import Lock
from typing import IO

from model_pipeline.documents.found import Failed, FieldNames, Found, ReadLimits
from model_pipeline.domain import Document
from model_pipeline.errors import UnreadableDocument

ROWS_A_REPLY = 256


class Worker:
    """Starts with the first file and ends with this process; one that a file kills is replaced."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = Lock()

    def parse(self, found: Found, content: bytes, limits: ReadLimits) -> Document:
        """As `parse.parse`, within the limits of time and memory."""
        with self._turn:
            (document,) = self._replies(found, content, None, limits)
        assert isinstance(document, Document)
        return document

    def rows(
        self, found: Found, content: bytes, fields: FieldNames, limits: ReadLimits
    ) -> Iterator[Document | Failed]:
        """As `parse.parse_rows`, within the limits of memory and of processor time: whoever takes
        the rows may take their time. Nobody else is served meanwhile."""
        with self._turn:
            yield from self._replies(found, content, fields, limits)

    def _replies(
        self, found: Found, content: bytes, fields: FieldNames | None, limits: ReadLimits
    ) -> Iterator[Document | Failed]:
        jobs, replies = self._running()
        try:
            # `bytes` stands in for a closure, which cannot be sent.
            pickle.dump((replace(found, read_bytes=bytes), content, fields, limits), jobs)
            jobs.flush()
            while reply := pickle.load(replies):  # noqa: S301
                if isinstance(reply, UnreadableDocument):
                    raise reply
                yield from reply
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            raise UnreadableDocument(_why(found, limits, self._end())) from error
        except UnreadableDocument:
            raise
        except BaseException:  # such as Ctrl-C: the next reply would be this file's
            self._end()
            raise

    def close(self) -> None:
        with self._turn:
            self._end()

    def _running(self) -> tuple[IO[bytes], IO[bytes]]:
        if self._process is None or self._process.poll() is not None:
            self._end()
            code = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import main; main()"
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for this process, which then ends that one
            )
        assert self._process.stdin
        assert self._process.stdout
        return self._process.stdin, self._process.stdout

    def _end(self) -> int:
        """The exit status: of its own end, where it came before this one."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.kill()
        with contextlib.suppress(OSError):  # what it was not sent any more
            process.communicate()
        return process.wait()


def _why(found: Found, limits: ReadLimits, status: int) -> str:
    if status in (-signal.SIGALRM, -signal.SIGPROF):
        return f"{found.source} takes longer than {limits.seconds:g} s to read: split it."
    cause = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    return (
        f"{found.source} made its reader break down ({cause}): it is damaged, or needs more than "
        f"{limits.memory_bytes:,} bytes of memory."
    )


worker = Worker()
atexit.register(worker.close)


def main() -> None:
    """In the process: reads what comes, until nothing comes any more."""
    from model_pipeline.documents.parse import parse, parse_rows

    jobs, replies = os.fdopen(0, "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a parser that prints does not do so into the replies
    for number in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM, signal.SIGPROF})
    while jobs.peek(1):
        found, content, fields, limits = pickle.load(jobs)  # noqa: S301
        # The kernel ends it, wherever a parser hangs, and also where nobody waits any more.
        timer = signal.ITIMER_REAL if fields is None else signal.ITIMER_PROF
        signal.setitimer(timer, limits.seconds)
        _limit_memory(limits.memory_bytes)
        try:
            if fields is None:
                replies.write(pickle.dumps([parse(found, content, limits)]))
            else:
                for batch in _batches(parse_rows(found, content, fields, limits)):
                    replies.write(pickle.dumps(batch))
            replies.write(pickle.dumps([]))
        except UnreadableDocument as error:
            replies.write(pickle.dumps(error))
        signal.setitimer(timer, 0)
        del found, content
        replies.flush()


def _batches(rows: Iterator[Document | Failed]) -> Iterator[list[Document | Failed]]:
    """What came before an error is not lost with it."""
    batch: list[Document | Failed] = []
    try:
        for row in rows:
            batch.append(row)
            if len(batch) == ROWS_A_REPLY:
                yield batch
                batch = []
    finally:
        if batch:  # an empty one would be the end
            yield batch


def _limit_memory(most: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    with contextlib.suppress(ValueError, OSError):  # macOS, or a lower limit that stands already
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))
