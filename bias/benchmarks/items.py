"""What a benchmark asks, and what a reply to it chooses: the same for all of them.

A generator is asked in one of three ways, and each result says which: by the likelihood of the
letters A, B, C after the prompt; by the text that it writes to the prompt; or, where it writes
nothing of its own, by what it answers to the question from the context as its only passage.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from model_pipeline.errors import InvalidInput
from model_pipeline.evaluation.examples import Example, Prediction, TestSet

PROMPT = "choices-1"
LETTERS = "ABC"
SEVERAL = "the reply names several choices"
NONE = "the reply names no choice"
EMPTY = "the reply is empty"


@dataclass(frozen=True, slots=True)
class Item:
    """`choices` are two or three; `unknown` is the place of the one that leaves it open. Without
    choices the `context` is to be completed."""

    item_id: str
    context: str
    question: str = ""
    choices: tuple[str, ...] = ()
    unknown: int | None = None

    def prompt(self) -> str:
        if not self.choices:
            return (
                "Complete the sentence with one to three words. Write these words and nothing "
                f"else.\n\n{self.context}"
            )
        listed = "\n".join(
            f"{letter}. {choice}" for letter, choice in zip(LETTERS, self.choices, strict=False)
        )
        return (
            f"{self.context}\n\nQuestion: {self.question}\n{listed}\n\n"
            "Reply with the letter of the right answer and nothing else.\nAnswer:"
        )


def as_test_set(name: str, items: Sequence[Item]) -> TestSet:
    """To be named by its hash, and answered by `run.predict`."""
    return TestSet(name, tuple(Example(one.item_id, one.prompt()) for one in items))


def chosen(item: Item, reply: Prediction) -> int | str:
    """The place of the choice that the reply names, or why there is none: by its letter, or else by
    the one choice whose words stand in it."""
    if reply.error:
        return reply.error
    if reply.declined:
        return NONE if item.unknown is None else item.unknown
    text = reply.answer.strip()
    if not text:
        return EMPTY
    letter = re.match(r"\W*([A-Ca-c])(?:[).:\]*]|\s*$)", text)
    if letter and (place := LETTERS.index(letter[1].upper())) < len(item.choices):
        return place
    said = _plain(text)
    exact = [place for place, one in enumerate(item.choices) if _plain(one).strip() == said.strip()]
    named = exact or [place for place, one in enumerate(item.choices) if _plain(one) in said]
    if len(named) == 1:
        return named[0]
    return SEVERAL if named else NONE


def _plain(text: str) -> str:
    """Words alone, in small letters, with a space on either side; a leading article is gone."""
    words = re.findall(r"[\w']+", text.lower().replace("’", "'"))
    if words and words[0] in ("the", "a", "an"):
        words = words[1:]
    return f" {' '.join(words)} "


Row = TypeVar("Row")


def sample(
    rows: Iterable[Row],
    n: int | None,
    seed: int,
    *,
    stratum: Callable[[Row], str],
    unit: Callable[[Row], str],
) -> list[Row]:
    """About `n` rows, the same for the same seed: whole units, drawn from the strata in turn. In
    the order given."""
    kept = list(rows)
    if n is None or n >= len(kept):
        return kept
    units: dict[str, dict[str, int]] = {}
    for one in kept:
        sizes = units.setdefault(stratum(one), {})
        sizes[unit(one)] = sizes.get(unit(one), 0) + 1
    queues = []
    for name in sorted(units):
        order = sorted(units[name])
        random.Random(f"{seed}-{name}").shuffle(order)  # noqa: S311 - a sample, not a secret
        queues.append([(name, one, units[name][one]) for one in order])
    drawn: set[tuple[str, str]] = set()
    count = 0
    while count < n and any(queues):
        for queue in queues:
            if queue and count < n:
                name, drawn_unit, size = queue.pop()
                drawn.add((name, drawn_unit))
                count += size
    return [one for one in kept if (stratum(one), unit(one)) in drawn]


def found_in(folder: Path, name: str, *, subfolder: str, of: str) -> Path:
    """The file in the folder that was given, or where a copy of the benchmark's repository has it.
    Raises InvalidInput that says what belongs there."""
    for one in (folder, folder / "data", folder / subfolder, folder / subfolder / "data"):
        if (one / name).exists():
            return one / name
    raise InvalidInput(f"{folder} holds no {name}: give --data the folder of {of}.")


Choices = Mapping[str, int | str]
"""By item id: the place of the choice, or why there is none."""


def failures(choices: Choices) -> dict[str, int]:
    """How many items were not scored, by why."""
    counted: dict[str, int] = {}
    for one in choices.values():
        if isinstance(one, str):
            counted[one] = counted.get(one, 0) + 1
    return dict(sorted(counted.items()))
