"""Real questions to examples: what people asked, and what they said of the answers.

A corrected answer is the reference; a liked answer is one, and its sources are relevant; a liked
"not in the documents" is a question without an answer. The rest is asked without a reference.

These are people's words. Nothing tells who asked; and what looks personal (an address, a phone,
card or account number, a name given as one's own) leaves its question out, which is counted.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from model_pipeline.documents.decode import clean
from model_pipeline.domain import Turn
from model_pipeline.evaluation.examples import Example
from model_pipeline.evaluation.rows import MAX_QUESTION, id_of
from model_pipeline.text.personal import PERSONAL

Rated = Literal["corrected", "liked", "asked"]
RANK: dict[Rated, int] = {"corrected": 0, "liked": 1, "asked": 2}


@dataclass(frozen=True, slots=True)
class AskedRow:
    """One answer as it was given; `history` has what was asked and answered before it."""

    question: str
    answer: str
    declined: bool
    sources: Sequence[str]
    rating: str | None
    corrected: str | None
    collection: str | None
    history: Sequence[Mapping[str, Any]]

    @property
    def rated(self) -> Rated:
        if self.corrected:
            return "corrected"
        return "liked" if self.rating == "up" else "asked"


@dataclass(frozen=True, slots=True)
class AskedExamples:
    """`personal`: how many questions were left out for what looks personal in them."""

    examples: tuple[Example, ...]
    personal: int


def from_asked(
    rows: Iterable[AskedRow], *, unrated: bool, n: int | None, seed: int
) -> AskedExamples:
    """`rows` come newest first; of one question the best rated counts, then the newest. With
    `unrated` those without a reference too. `n`: a sample of so many."""
    best: dict[str, AskedRow] = {}
    for row in rows:
        if (row.rated == "asked" and not unrated) or len(row.question) > MAX_QUESTION:
            continue
        key = _identity(row)
        if key not in best or RANK[row.rated] < RANK[best[key].rated]:
            best[key] = row
    kept = {key: row for key, row in best.items() if not _personal(row)}
    keys = sorted(kept)
    if n is not None and n < len(keys):
        keys = sorted(random.Random(seed).sample(keys, n))  # noqa: S311 - a sample, not a secret
    return AskedExamples(
        tuple(_example(key, kept[key]) for key in keys), personal=len(best) - len(kept)
    )


def _identity(row: AskedRow) -> str:
    said = [str(turn.get("question", "")) for turn in row.history]
    return id_of("\n".join(" ".join(one.casefold().split()) for one in (*said, row.question)))


def _personal(row: AskedRow) -> bool:
    said = [str(words) for turn in row.history for words in turn.values()]
    reference = row.corrected or (row.answer if row.rated == "liked" else "")
    return any(PERSONAL.search(text) for text in (row.question, reference, *said))


def _example(key: str, row: AskedRow) -> Example:
    declined = row.rated == "liked" and row.declined
    reference = row.corrected or (row.answer if row.rated == "liked" and not declined else None)
    turns = [
        one
        for turn in row.history
        for one in (
            Turn("user", clean(str(turn["question"]))),
            Turn("assistant", clean(str(turn["answer"]))),
        )
    ]
    return Example(
        example_id=key,
        question=clean(row.question),
        references=(clean(reference),) if reference else (),
        relevant=dict.fromkeys(row.sources, 1) if row.rated == "liked" and row.sources else None,
        answerable=False if declined else True if reference else None,
        history=tuple(turns),
        tags={"question_type": row.rated} | ({"topic": row.collection} if row.collection else {}),
    )
