"""Training on one side, validation on the other, and no document on both: neither its questions nor
its passages beside others'."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Literal

Side = Literal["train", "validation"]
SIDES: tuple[Side, ...] = ("train", "validation")


class Documents:
    """All that there are, by what they are called; copies under several names are one."""

    def __init__(self) -> None:
        self._contents: dict[str, int] = defaultdict(int)
        self._collections: dict[str, set[str]] = defaultdict(set)

    def add(self, collection: str, source: str, passage: str) -> None:
        """In any order."""
        digest = hashlib.blake2b(passage.encode("utf-8", "replace"), digest_size=8).digest()
        self._contents[source] = (self._contents[source] + int.from_bytes(digest)) % 2**64
        self._collections[collection].add(source)

    def __len__(self) -> int:
        return len(self._contents)

    def sides(self, asked: Iterable[str], *, validation: float, seed: int) -> Sides:
        """`validation` is the share of the documents in `asked` (those that rows are of) which go
        to that side, at least one of each collection that has two. What nobody asks about is only
        ever beside others, and goes by its hash."""
        of_copies: dict[str, Side] = {}
        wanted = set(asked)
        for name in sorted(self._collections) if validation else ():
            of_rows = {self._copies(one) for one in self._collections[name] & wanted}
            fresh = sorted(of_rows - of_copies.keys(), key=lambda one: rank(seed, one))
            many = max(1, round(validation * len(fresh))) if len(fresh) > 1 else 0
            of_copies |= dict.fromkeys(fresh[:many], "validation")
            of_copies |= dict.fromkeys(fresh[many:], "train")
        if validation and len(of_copies) > 1 and "validation" not in of_copies.values():
            # Every collection has one document.
            of_copies[min(of_copies, key=lambda one: rank(seed, one))] = "validation"
        for source in self._contents:
            copies = self._copies(source)
            if copies not in of_copies:
                is_beside = rank(seed, copies) < validation and source not in wanted
                of_copies[copies] = "validation" if is_beside else "train"
        return Sides({one: of_copies[self._copies(one)] for one in self._contents})

    def _copies(self, source: str) -> str:
        return f"{self._contents[source]:016x}"


class Sides:
    def __init__(self, of: Mapping[str, Side]) -> None:
        self._of = of

    def of(self, source: str) -> Side:
        """What came after all documents were read is trained on."""
        return self._of.get(source, "train")

    def of_all(self, sources: Iterable[str]) -> Side | None:
        """None where they are on both."""
        found = {self.of(one) for one in sources}
        return found.pop() if len(found) == 1 else None


def rank(seed: int, *of: str) -> float:
    """From 0 to 1: an order by chance that is the same whenever and wherever it is asked for."""
    digest = hashlib.blake2b("\0".join((str(seed), *of)).encode("utf-8", "replace"), digest_size=8)
    return int.from_bytes(digest.digest()) / 2**64
