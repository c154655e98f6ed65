"""The order of a whole run, known before it begins: which examples each optimizer step sees. A run
that goes on where it stopped sees what it would have seen, on however many devices."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

POOL = 32  # steps' worth of examples, within which those of like length come together


def order(
    lengths: Sequence[int], *, epochs: float, batch: int, device_batch: int, seed: int
) -> list[int]:
    """Places in `lengths`, `batch` of them for each step; each `device_batch` in a row are of like
    length, so that little of it is padding. Every example comes once before any comes again."""
    steps = max(1, round(epochs * len(lengths) / batch))
    random = Random(seed)  # noqa: S311
    found: list[int] = []
    while len(found) < steps * batch:
        found += _epoch(lengths, batch=batch, device_batch=device_batch, random=random)
    return found[: steps * batch]


def padding_share(lengths: Sequence[int], device_batch: int) -> float:
    """Of the tokens that the devices compute, those that are there to fill up; `lengths` are in the
    run's order."""
    padded = 0
    for start in range(0, len(lengths), device_batch):
        together = lengths[start : start + device_batch]
        padded += len(together) * max(together)
    return 1 - sum(lengths) / padded


def _epoch(lengths: Sequence[int], *, batch: int, device_batch: int, random: Random) -> list[int]:
    places = list(range(len(lengths)))
    random.shuffle(places)
    found: list[int] = []
    for start in range(0, len(places), batch * POOL):
        pool = sorted(places[start : start + batch * POOL], key=lambda one: lengths[one])
        together = [pool[at : at + device_batch] for at in range(0, len(pool), device_batch)]
        # What is too few to fill a device comes last, or it would part those that follow.
        short = [together.pop()] if len(together[-1]) < device_batch else []
        random.shuffle(together)
        found += [one for group in together + short for one in group]
    return found
