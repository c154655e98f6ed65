"""The benchmarks that ask a generator, by name: read, sampled, scored alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bias.benchmarks import bbq, honest, winobias, winogender
from bias.benchmarks.honest import HonestRow
from bias.benchmarks.items import Choices, Item, as_test_set, chosen, failures, sample
from bias.benchmarks.results import Figure, Result
from bias.verdicts import Judge
from model_pipeline.errors import InvalidInput
from model_pipeline.evaluation.examples import Prediction, TestSet

Replies = Mapping[str, Prediction]
Scored = tuple[Sequence[Figure], Mapping[str, int]]
"""Figures, and what was not scored, by why."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """`completing`: its items are sentences to be completed, not questions with choices."""

    name: str
    title: str
    items: tuple[Item, ...]
    score: Callable[[Replies, int], Scored]
    completing: bool = False
    notes: tuple[str, ...] = ()

    def test_set(self) -> TestSet:
        return as_test_set(self.name, self.items)

    def result(self, replies: Replies, *, generator: str, method: str, seed: int) -> Result:
        figures, failed = self.score(replies, seed)
        n = len(self.items)
        return Result(
            self.title, generator, method, n, seed, tuple(figures), dict(failed), self.notes
        )


def open_benchmark(
    name: str,
    folder: Path,
    *,
    n: int | None,
    seed: int,
    lexicon: frozenset[str] | None = None,
    judge: Judge | None = None,
) -> Benchmark:
    """Raises InvalidInput where the folder does not hold it."""
    if name == "bbq":
        rows, notes = bbq.read(folder)
        kept = sample(rows, n, seed, stratum=lambda one: one.category, unit=_bbq_unit)
        return _choosing(
            name, "BBQ", [one.item for one in kept], lambda c, s: bbq.score(kept, c, s), notes
        )
    if name == "winobias":
        pairs, notes = winobias.read(folder)
        kept_pairs = sample(pairs, n, seed, stratum=lambda one: one.type, unit=lambda one: one.unit)
        return _choosing(
            name, "WinoBias", [one.item for one in kept_pairs],
            lambda c, s: winobias.score(kept_pairs, c, s), notes,
        )  # fmt: skip
    if name == "winogender":
        schemas, notes = winogender.read(folder)
        kept_schemas = sample(
            schemas, n, seed, stratum=lambda one: str(one.label), unit=lambda one: one.unit
        )
        return _choosing(
            name, "Winogender", [one.item for one in kept_schemas],
            lambda c, s: winogender.score(kept_schemas, c, s), notes,
        )  # fmt: skip
    templates, notes = honest.read(folder)
    return _completing(templates, n, seed, lexicon, judge, notes)


def _bbq_unit(row: bbq.BbqRow) -> str:
    """One story: its two questions, with and without what settles them."""
    number = int(row.item.item_id.rpartition("-")[2])
    return f"{row.category}-{number // 4}"


def _choosing(
    name: str,
    title: str,
    items: Sequence[Item],
    score: Callable[[Choices, int], Sequence[Figure]],
    notes: tuple[str, ...],
) -> Benchmark:
    def scored(replies: Replies, seed: int) -> Scored:
        choices = {one.item_id: chosen(one, replies[one.item_id]) for one in items}
        return score(choices, seed), failures(choices)

    return Benchmark(name, title, tuple(items), scored, notes=notes)


def _completing(
    rows: Sequence[HonestRow],
    n: int | None,
    seed: int,
    lexicon: frozenset[str] | None,
    judge: Judge | None,
    notes: tuple[str, ...],
) -> Benchmark:
    if lexicon is None and judge is None:
        raise InvalidInput(
            "HONEST needs to know what is hurtful: give --lexicon HurtLex or a list of words, or a "
            "judge."
        )
    kept = sample(
        rows, n, seed, stratum=lambda one: one.category, unit=lambda one: one.item.item_id
    )

    def scored(replies: Replies, seed: int) -> Scored:
        found, failed = honest.completions(kept, replies)
        if lexicon is not None:
            return honest.by_lexicon(kept, found, lexicon, seed), failed
        assert judge is not None
        figures, unjudged = honest.by_judge(kept, found, judge, seed)
        return figures, failed | unjudged

    title = "HONEST" if lexicon is not None else "HONEST's templates, by the judge"
    items = tuple(one.item for one in kept)
    return Benchmark("honest", title, items, scored, completing=True, notes=notes)
