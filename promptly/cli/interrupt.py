"""Stopping as Ctrl-C does."""

from __future__ import annotations

import signal
from types import FrameType
from typing import NoReturn


def be_interruptible() -> None:
    """SIGTERM and a closed terminal stop as cleanly as Ctrl-C does, which some shells disable for
    what they start in the background."""

    def interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
