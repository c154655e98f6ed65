"""What a text counts and measures, however it writes it: "two weeks" is 14 days, "$5k" 5,000
dollars, "229.0" is 229; 30 days are not 30 hours."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from model_pipeline.text.words import LOOSE, SPELLED

# Amounts that were written in different units are the same within this: a month is about 30 days.
TOLERANCE = 0.02
TIMES = {
    "k": 1e3,
    "hundred": 1e2,
    "thousand": 1e3,
    "million": 1e6,
    "billion": 1e9,
    "trillion": 1e12,
}
# Kind, size in the units of its kind, names.
_UNITS = """
time 1 s sec secs second seconds
time 60 min mins minute minutes
time 3600 h hr hrs hour hours
time 86400 day days
time 604800 week weeks
time 2629800 month months
time 31557600 year years yr yrs
time 0.001 ms millisecond milliseconds
bytes 1 byte bytes
bytes 1e3 kb kilobyte kilobytes
bytes 1e6 mb megabyte megabytes
bytes 1e9 gb gigabyte gigabytes
bytes 1e12 tb terabyte terabytes
length 0.001 mm
length 0.01 cm
length 1 meter meters metre metres
length 1000 km kilometer kilometers kilometre kilometres
length 1609.344 mile miles
length 0.3048 foot feet ft
length 0.0254 inch inches
mass 0.001 gram grams
mass 1 kg kilogram kilograms
mass 0.45359 lb lbs
share 1 % percent
dollars 1 $ dollar dollars usd
dollars 0.01 cent cents
euros 1 € euro euros eur
sterling 1 £ gbp
tokens 1 token tokens
people 1 person persons people
times 1 time times
"""
UNITS: dict[str, tuple[str, float]] = {
    word: (kind, float(size))
    for kind, size, *words in (unit.split() for unit in _UNITS.strip().splitlines())
    for word in words
}
_PIECE = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+|[%$€£]")


@dataclass(frozen=True, slots=True)
class Amount:
    """`digits` as they count in the unit that they were written in, of which one is `size` of its
    `kind`; the kind is empty where no known unit stands beside the number."""

    digits: str
    kind: str = ""
    size: float = 1.0

    def same(self, other: Amount) -> bool:
        if not self.kind or not other.kind or (self.kind, self.size) == (other.kind, other.size):
            return self.digits == other.digits
        if self.kind != other.kind:
            return False
        mine, its = (float(one.digits) * one.size for one in (self, other))
        return abs(mine - its) <= TOLERANCE * max(mine, its)


def amounts(text: str) -> frozenset[Amount]:
    return frozenset(_amounts(_PIECE.findall(text.lower())))


def lacking(wanted: Collection[Amount], held: frozenset[Amount]) -> list[Amount]:
    """Those of `wanted` that are not among `held`."""
    by_digits, by_kind = _indexed(held)
    return [
        one
        for one in wanted
        if not any(map(one.same, by_digits.get(one.digits, ())))
        and not any(map(one.same, by_kind.get(one.kind, ()) if one.kind else ()))
    ]


@lru_cache(maxsize=16)
def _indexed(
    held: frozenset[Amount],
) -> tuple[dict[str, list[Amount]], dict[str, list[Amount]]]:
    """By digits, and by kind: what is neither the one nor the other is not the same."""
    by_digits: dict[str, list[Amount]] = {}
    by_kind: dict[str, list[Amount]] = {}
    for one in held:
        by_digits.setdefault(one.digits, []).append(one)
        by_kind.setdefault(one.kind, []).append(one)
    return by_digits, by_kind


def digits(number: str) -> str:
    """1,000 is 1000, 229.0 is 229 and 007 is 7; 3.10 is a version and not 3.1."""
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", number):
        number = number.replace(",", "")
    return re.sub(r"[.,]0+$", "", number).lstrip("0") or "0"


def _amounts(pieces: list[str]) -> Iterator[Amount]:
    """Number, multiplier and unit stand in this order; a currency's sign may stand first."""
    padded = ["", *pieces, "", ""]
    for n, (before, piece) in enumerate(pairwise(padded[:-2])):
        found = _counted(piece)
        if found is None or (piece in TIMES and _counted(before) is not None):
            continue
        after = padded[n + 2 : n + 5]
        if after[0] in TIMES and found.count(".") + found.count(",") < 2:
            times = TIMES[after[0]]
            found, after = f"{float(found.replace(',', '.')) * times:.0f}", after[1:]
        unit = UNITS.get(before) if before in ("$", "€", "£") else UNITS.get(after[0])
        # "one of them" and "a jacket" count nothing; "a week" does.
        if unit is None and not piece[0].isdigit() and (piece in LOOSE or piece in ("a", "an")):
            continue
        if unit is not None and not re.fullmatch(r"\d*\.?\d+", found):
            unit = None  # a date or a version
        yield Amount(found, *(unit or ()))


def _counted(piece: str) -> str | None:
    if piece[:1].isdigit():
        return digits(piece)
    return "1" if piece in ("a", "an") else SPELLED.get(piece)
