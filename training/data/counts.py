"""What training data holds, in numbers."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from training.data.asked import Left
from training.data.rows import Row
from training.data.split import SIDES


@dataclass(slots=True)
class Counts:
    """Of the rows that were made, and of what was left out and why. `tally` counts rows by (what is
    counted, its name, side)."""

    tally: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    left_out: Left = field(default_factory=Counter)
    documents: dict[str, set[str]] = field(default_factory=lambda: {one: set() for one in SIDES})
    prompt_characters: array[int] = field(default_factory=lambda: array("l"))
    answer_words: array[int] = field(default_factory=lambda: array("l"))

    def add(self, row: Row) -> None:
        names = {
            "rows": "all", "source": row.origin, "collection": row.collection or "(all)",
            "kind": row.kind, "answer": "declined" if row.declined else "answered",
            "passages": str(row.passages),
        }  # fmt: skip
        self.tally.update((what, name, row.side) for what, name in names.items())
        self.documents[row.side].update(row.documents)
        self.prompt_characters.append(sum(len(one["content"]) for one in row.prompt))
        self.answer_words.append(len(row.answer.split()))

    def rows(self, side: str | None = None) -> int:
        return sum(self.tally["rows", "all", one] for one in ([side] if side else SIDES))

    def by(self, what: str) -> dict[str, int]:
        """Rows by name, the most first."""
        found: Counter[str] = Counter()
        for (counted, name, _), many in self.tally.items():
            found[name] += many if counted == what else 0
        return {name: many for name, many in sorted(found.items(), key=_most) if many}

    def as_object(self) -> dict[str, Any]:
        return {
            "rows": self.rows(),
            **{side: self.rows(side) for side in SIDES},
            "declined": self.by("answer").get("declined", 0),
            "sources": self.by("source"),
            "collections": self.by("collection"),
            "documents": {side: len(found) for side, found in self.documents.items()},
            "left_out": {why: many for why, many in sorted(self.left_out.items()) if many},
        }


def _most(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]
