"""How far a fine-tune is, for who watches it: in this process, or over a pipe."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `of` in `stage`; `loss` is of the step, where there is one."""

    stage: str
    done: int
    of: int
    loss: float | None = None

    def __str__(self) -> str:
        said = "" if self.loss is None else f", loss {self.loss:.4f}"
        return f"{self.stage}: {self.done:,} of {self.of:,}{said}"

    def to_json(self) -> str:
        return json.dumps(asdict(self))


Tell = Callable[[Progress], None]


def unheard(progress: Progress) -> None:
    """Nobody watches."""


def lines(say: Callable[[str], None], *, parts: int = 20) -> Tell:
    """A line for each of `parts` of a stage, and for its end."""
    said: set[tuple[str, int]] = set()

    def tell(progress: Progress) -> None:
        part = parts * progress.done // max(progress.of, 1)
        if (progress.stage, part) not in said:
            said.add((progress.stage, part))
            say(str(progress))

    return tell
