"""Which answers a report judges: all, or a sample that has each day, collection and release by its
share."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from uuid import UUID

from model_pipeline.store.verdicts import GivenAnswer


def sample(given: Sequence[GivenAnswer], *, size: int | None, seed: int) -> list[UUID]:
    """Systematic over the strata in order: of each (day, collection, release) comes its share,
    rounded up or down, so that plain means hold for all. The same answers by the same seed."""
    ordered = sorted(
        given, key=lambda one: (one.day, one.collection, one.release_id, _draw(one, seed))
    )
    if size is None or size >= len(ordered):
        return [one.answer_id for one in ordered]
    step = len(ordered) / size
    start = random.Random(seed).random() * step  # noqa: S311 - a sample, not a secret
    return [ordered[int(start + number * step)].answer_id for number in range(size)]


def _draw(one: GivenAnswer, seed: int) -> bytes:
    return hashlib.sha256(f"{seed} {one.answer_id}".encode()).digest()
