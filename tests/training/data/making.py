"""A small world to make training data of: documents with their questions, a search over them by
words, and a prompt that shows what it was given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from model_pipeline.domain import Passage, Turn
from model_pipeline.evaluation.asked import AskedRow
from model_pipeline.evaluation.examples import Example, TestSet
from model_pipeline.material import RatedRow, StoredPassage
from model_pipeline.text.words import terms
from training.data.make import Material
from training.data.rows import Asking, Message, Tools

DECLINES = "This is not in the documents."
KINDS = "kettle lantern tent stove compass rope hammock canteen whistle blanket".split()
MAKERS = "Alba Bruno Carla Dario Elena Fabio Gina Hugo Irma Jonas Klara Lino Mara Nico Olga".split()


def sentence(number: int) -> str:
    """Of document `number`; a rule makes a question of it."""
    thing = f"{MAKERS[number % 15]} {KINDS[number // 15 % 10]} {number}"
    return f"The {thing} is a tool that keeps {KINDS[number % 7]}s warm for {number + 3} long days."


def passages(many: int, collections: Sequence[str] = ("shop",)) -> Iterator[StoredPassage]:
    """One document each, in the collections by turns."""
    for number in range(many):
        content = f"{sentence(number)}\n\nIt was written down on page {number} by somebody else.\n"
        yield StoredPassage(collections[number % len(collections)], f"{number}.md", content)


def passage(source: str, content: str, title: str = "", path: tuple[str, ...] = ()) -> Passage:
    identity = uuid5(NAMESPACE_URL, f"{source} {content}")
    return Passage(identity, identity, source, title, path, content, {}, 0, 0.1)


class World:
    """Notes what was searched for, and what was shown."""

    def __init__(self, stored: Sequence[StoredPassage], *, room: int = 99) -> None:
        self.stored = stored
        self.room = room
        self.searched: list[Asking] = []
        self._words: dict[str, list[int]] = {}
        for number, one in enumerate(stored):
            for word in terms(one.content):
                self._words.setdefault(word, []).append(number)

    @property
    def tools(self) -> Tools:
        return Tools(self.find, self.prompt, self.cite, self.plain, DECLINES, "told-1-abc")

    def find(self, wanted: Sequence[Asking]) -> list[Sequence[Passage]]:
        self.searched += wanted
        return [self._find(one) for one in wanted]

    def _find(self, asking: Asking) -> list[Passage]:
        """Rare words count more; ties by place."""
        scores: dict[int, float] = {}
        for word in terms(asking.question):
            for number in self._words.get(word, ())[:500]:
                if asking.collection in (None, self.stored[number].collection):
                    scores[number] = scores.get(number, 0) + 1 / len(self._words[word])
        best = sorted(scores, key=lambda number: (-scores[number], number))[: asking.k]
        return [passage(self.stored[n].source, self.stored[n].content) for n in best]

    def prompt(
        self, question: str, shown: Sequence[Passage], history: Sequence[Turn]
    ) -> tuple[list[Message], int]:
        said = "\n".join(one.content for one in shown[: self.room])
        return [
            {"role": "system", "content": "Answer."},
            *({"role": one.role, "content": one.content} for one in history),
            {"role": "user", "content": f"{said}\nQuestion: {question}"},
        ], min(len(shown), self.room)

    def plain(self, text: str) -> str:
        return text.replace("<|end|>", "< |end|>")

    def cite(self, question: str, answer: str, shown: Sequence[Passage]) -> str | None:
        """Of the first passage that has all of its words."""
        for number, one in enumerate(shown, start=1):
            if terms(answer) <= terms(one.content):
                return f"{answer.rstrip('.')} [{number}]."
        return None


def material(
    stored: Sequence[StoredPassage],
    rated: Sequence[RatedRow] = (),
    tests: Sequence[Example] = (),
) -> Material:
    return Material(stored, rated, [TestSet("frozen", tuple(tests))] if tests else [])


def rated_row(question: str, answer: str, *, hours: int = 0, **more: Any) -> RatedRow:
    given: Mapping[str, Any] = {
        "declined": False, "sources": [], "rating": "up", "corrected": None, "collection": "shop",
        "history": [],
    } | more  # fmt: skip
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
    return RatedRow(AskedRow(question, answer, **given), f"{question} {hours}", moment)
