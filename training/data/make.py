"""Training data from what the database knows: questions of documents, and answers that people
corrected or liked, as the rows that a model is fine-tuned on.

Nothing of a frozen test set is learnt, nearly the same row is there once, what looks personal is
left out, and no document is on both sides of the split. The same material makes the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_pipeline.errors import InvalidInput
from model_pipeline.evaluation.examples import TestSet
from model_pipeline.evaluation.generated import Source
from model_pipeline.evaluation.leaks import Index
from model_pipeline.material import RatedRow, StoredPassage
from training.data import alike, card
from training.data.asked import (
    SPARE,
    Idea,
    Left,
    Sample,
    by_model,
    by_rules,
    in_order,
    of_candidates,
    of_people,
    of_sentences,
)
from training.data.counts import Counts
from training.data.files import CARD, PAGE, being_written
from training.data.rows import Ask, Rows, Tools
from training.data.split import SIDES, Documents

FEWEST_ROWS = 10
BATCH = 64  # searches at a time
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Material:
    """Read once, in any order."""

    passages: Iterable[StoredPassage]
    rated: Iterable[RatedRow]
    test_sets: Sequence[TestSet]


@dataclass(frozen=True, slots=True)
class Wanted:
    """At most `n` rows; `validation` is the share of the documents kept for that, from 0 to 0.5.
    `collections` are as asked for; none: all."""

    n: int = 5_000
    validation: float = 0.1
    seed: int = 0
    collections: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.n < FEWEST_ROWS:
            raise InvalidInput(f"{self.n} rows are too few to train on: {FEWEST_ROWS} at least.")
        if not 0 <= self.validation <= 0.5:
            raise InvalidInput(
                f"The share for validation is {self.validation}: give one from 0 to 0.5."
            )


@dataclass(frozen=True, slots=True)
class Made:
    folder: Path
    hash: str
    counts: Counts


def make(
    material: Material,
    tools: Tools,
    wanted: Wanted,
    out: Path,
    tell: Tell = lambda what, done, of: None,
) -> Made:
    """Write it to `out`. Holds questions and no passages: a row is written as soon as it is made.
    Raises InvalidInput where there is too little to learn from, Conflict where `out` is something
    else."""
    counts = Counts()
    leaks = Index([one for each in material.test_sets for one in each.examples])
    ideas, documents = _ideas(material, tools, wanted, leaks, counts.left_out, tell)
    sides = documents.sides(
        (one for idea in ideas for one in idea.documents),
        validation=wanted.validation,
        seed=wanted.seed,
    )
    rows = Rows(tools, sides, leaks if material.test_sets else None, wanted.validation)
    with being_written(out) as folder:
        for start in range(0, len(ideas), BATCH):
            for row in rows.made(ideas[start : start + BATCH]):
                if counts.rows() == wanted.n:
                    break
                if isinstance(row, str):
                    counts.left_out[row] += 1
                else:
                    folder.add(row.side, row.line())
                    counts.add(row)
            tell("rows", counts.rows(), wanted.n)
            if counts.rows() == wanted.n:
                break
        _require_enough(counts, wanted)
        content_hash = folder.content_hash()
        facts = {
            "hash": content_hash,
            "counts": counts.as_object(),
            "prompt": tools.name,
            "made": {
                "collections": sorted(wanted.collections), "n": wanted.n, "seed": wanted.seed,
                "validation": wanted.validation, "by": "model" if tools.ask else "rules",
            },
            "test_sets": sorted(
                f"{one.name} {one.content_hash()[:12]}" for one in material.test_sets
            ),
        }  # fmt: skip
        folder.put(CARD, card.markdown(facts, counts))
        folder.put(PAGE, card.html(facts, counts))
        folder.finish(facts)
    return Made(out, content_hash, counts)


def _ideas(
    material: Material, tools: Tools, wanted: Wanted, leaks: Index, left: Left, tell: Tell
) -> tuple[list[Idea], Documents]:
    """Those worth a search, in the order in which they are taken."""
    documents, of_documents = _of_documents(material.passages, tools.ask, wanted, tell)
    people = of_people(material.rated, left)
    ideas = in_order(of_documents, people, seed=wanted.seed)
    if not len(documents) and not people:
        raise InvalidInput(
            "There is nothing to learn from yet: `promptly ingest` documents, or rate answers."
        )
    if not ideas:
        raise InvalidInput(
            f"Not one question could be made of {len(documents):,} documents, and nobody liked or "
            "corrected an answer: are the documents in English? --by model words questions in "
            "other languages."
        )
    shareable = [one for one in ideas if not one.is_personal()]
    left["personal"] += len(ideas) - len(shareable)
    fresh = [one for one in shareable if not any(leaks.leaks(("", text) for text in one.texts()))]
    left["leaked"] += len(shareable) - len(fresh)
    if not fresh and left["leaked"]:
        raise InvalidInput(
            f"All {left['leaked']:,} questions that could be asked stand in a frozen test set, "
            "nearly the same: there is nothing left to learn from that would not spoil a test."
        )
    once = _once(fresh)
    left["duplicate"] += len(fresh) - len(once)
    return once, documents


def _of_documents(
    passages: Iterable[StoredPassage], ask: Ask | None, wanted: Wanted, tell: Tell
) -> tuple[Documents, dict[str, list[Idea]]]:
    """By collection."""
    most, seed = SPARE * wanted.n, wanted.seed
    if ask is None:
        sentences = by_rules(most=most, seed=seed)
        documents = _read(passages, sentences, tell)
        names = sentences.collections
        return documents, {name: of_sentences(name, sentences.of(name)) for name in names}
    whole = by_model(most=most, seed=seed)
    documents = _read(passages, whole, tell)
    found = {}
    for name in whole.collections:
        held = [Source(source, content) for source, content in whole.of(name)]
        # A few more than rows are wanted: each takes a model's time.
        many = -(-5 * wanted.n // (4 * len(whole.collections)))
        found[name] = of_candidates(name, ask(name, held, many))
    return documents, found


def _read(passages: Iterable[StoredPassage], sample: Sample[Any], tell: Tell) -> Documents:
    documents = Documents()
    for number, one in enumerate(passages, start=1):
        documents.add(one.collection, one.source, one.content)
        sample.add(one.collection, one.source, one.content)
        if number % 1_000 == 0:
            tell("passages read", number, number)
    return documents


def _once(ideas: Sequence[Idea]) -> list[Idea]:
    """Without what an earlier one says nearly the same, or asks the same."""
    kept = alike.firsts([f"{one.question}\n{one.learnt()}" for one in ideas])
    seen: set[tuple[str | None, str, tuple[str, ...]]] = set()
    found = []
    for one, first in zip(ideas, kept, strict=True):
        said = tuple(turn.content for turn in one.history)
        key = one.collection, " ".join(one.question.casefold().split()), said
        if first and key not in seen:
            seen.add(key)
            found.append(one)
    return found


def _require_enough(counts: Counts, wanted: Wanted) -> None:
    if counts.rows() < FEWEST_ROWS:
        raise InvalidInput(
            f"Only {counts.rows()} rows could be made, and training needs {FEWEST_ROWS} at least: "
            f"give more documents or rated answers{card.why(counts.left_out)}."
        )
    for side in SIDES if wanted.validation else SIDES[:1]:
        if not counts.rows(side):
            raise InvalidInput(
                f"Not one of {counts.rows():,} rows is left for {side}, since no document may be "
                "on both sides: give more documents, or --validation 0."
            )
