"""An idea to a row of training data: searched, without what it may not show, and in the words that
the service uses."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from model_pipeline.domain import Passage, Turn
from model_pipeline.errors import TooLarge
from model_pipeline.evaluation.generated import Candidate, Source
from model_pipeline.evaluation.leaks import Index
from model_pipeline.text.markers import marked
from model_pipeline.text.personal import redacted
from model_pipeline.text.words import numbers, shown, terms
from training.data.asked import Idea, Origin
from training.data.split import Side, Sides

K = 5  # passages, as many as the service shows unless it is told otherwise
MOST_FOUND = 100  # of one search
REMEMBERED = 10_000  # passages that were looked through
# A passage with such a share of what an answer says may well say it.
SAYS_IT = 0.7
MARKER = re.compile(r"\[(\d{1,3})\]")
Message = dict[str, str]
Ask = Callable[[str, Sequence[Source], int], Sequence[Candidate]]
"""(collection, passages, how many) to questions that a model made of them. Raises
ModelUnavailable."""
Reason = Literal[
    "astride", "nothing_found", "not_found", "answered_elsewhere", "unsupported", "too_long"
]


@dataclass(frozen=True, slots=True)
class Asking:
    """One search, as the service makes it for a question and what was said before."""

    question: str
    history: tuple[Turn, ...]
    collection: str | None
    k: int


@dataclass(frozen=True, slots=True)
class Tools:
    """What the service answers by, handed in. `declines` is what it says where the passages do not
    answer, `name` the prompt's name and hash."""

    find: Callable[[Sequence[Asking]], Sequence[Sequence[Passage]]]
    prompt: Callable[[str, Sequence[Passage], Sequence[Turn]], tuple[list[Message], int]]
    """Messages, and how many of the passages had room in them. Raises TooLarge."""
    cite: Callable[[str, str, Sequence[Passage]], str | None]
    """(question, answer, passages): the answer with the number of the passage that says it behind
    each statement; None where none does."""
    plain: Callable[[str], str]
    """A text without what a model's tokenizer would take for more than text."""
    declines: str
    name: str
    ask: Ask | None = None
    """Words questions of passages in place of rules."""


@dataclass(frozen=True, slots=True)
class Row:
    """`documents` are those it asks about and those shown. `collection` is None where all were
    asked."""

    side: Side
    prompt: Sequence[Message]
    answer: str
    origin: Origin
    documents: tuple[str, ...]
    collection: str | None
    kind: str
    declined: bool
    passages: int

    def line(self) -> bytes:
        """JSON, with its newline."""
        said: dict[str, Any] = {
            "prompt": list(self.prompt),
            "completion": [{"role": "assistant", "content": self.answer}],
            "source": self.origin,
            "documents": list(self.documents),
        }
        digest = hashlib.sha256(_json(said)).hexdigest()
        return _json({"id": digest[:16], **said}) + b"\n"


class Rows:
    """`validation` is the share of documents on that side."""

    def __init__(self, tools: Tools, sides: Sides, leaks: Index | None, validation: float) -> None:
        self._tools = tools
        self._sides = sides
        self._leaks = leaks
        self._validation = validation
        self._looked_through: dict[Any, Passage | None] = {}

    def made(self, ideas: Sequence[Idea]) -> Iterator[Row | Reason]:
        """One for each, in order, after one search for all of them."""
        found = self._tools.find([self._asking(idea) for idea in ideas])
        for idea, passages in zip(ideas, found, strict=True):
            yield self._row(idea, passages)

    def _asking(self, idea: Idea) -> Asking:
        """Of what is found, one side's stays: so many that K of them can be expected, twice."""
        side = self._sides.of_all(idea.documents) if idea.documents else None
        share = self._validation if side == "validation" else 1 - self._validation
        k = min(MOST_FOUND, round(2 * K / max(share, 0.01)))
        return Asking(idea.question, idea.history, idea.collection, k)

    def _row(self, idea: Idea, found: Sequence[Passage]) -> Row | Reason:
        if not found:
            return "nothing_found"
        if not idea.documents:
            return self._on_either(idea, found)
        side = self._sides.of_all(idea.documents)
        return "astride" if side is None else self._on(side, idea, found)

    def _on_either(self, idea: Idea, found: Sequence[Passage]) -> Row | Reason:
        """What is not known to stand in certain documents goes to the side of what is found first,
        or to the other one where that does not say it."""
        made: Row | Reason = "nothing_found"
        for side in dict.fromkeys(self._sides.of(one.source) for one in found):
            made = self._on(side, idea, found)
            if isinstance(made, Row):
                break
        return made

    def _on(self, side: Side, idea: Idea, found: Sequence[Passage]) -> Row | Reason:
        passages = self._shown(idea, side, found)
        if not passages:
            return "nothing_found"
        answer = self._answer(idea, passages)
        if answer is None and idea.declines == "withheld":
            return self._on(side, replace(idea, declines=""), found)
        if answer is None:
            return _unanswered(idea)
        return self._written(idea, side, passages, answer)

    def _shown(self, idea: Idea, side: Side, found: Sequence[Passage]) -> list[Passage]:
        """The best K of what is found that may be shown. The one that answers is among them where
        it was found at all: what is learnt is to read, whatever the search."""
        kept_from = idea.documents if idea.declines in ("withheld", "elsewhere") else ()
        passages: list[Passage] = []
        answered = bool(idea.declines) or not idea.answers
        for one in found:
            if self._sides.of(one.source) != side or one.source in kept_from:
                continue
            answers = _sentence(idea, one) is not None
            if (answers or len(passages) < K) and (clean := self._clean(one)):
                passages[K - 1 :] = [clean]
                answered = answered or answers
            if answered and len(passages) == K:
                break
        return passages

    def _clean(self, passage: Passage) -> Passage | None:
        """Without what looks personal; None where something of a test set stands in it."""
        key = passage.chunk_id
        if key not in self._looked_through:
            if len(self._looked_through) == REMEMBERED:
                self._looked_through.clear()
            place = " > ".join(dict.fromkeys((passage.title, *passage.heading_path)))
            texts = [("", place), ("", passage.content)]
            leaks = self._leaks is not None and any(self._leaks.leaks(texts))
            self._looked_through[key] = None if leaks else _redacted(passage)
        return self._looked_through[key]

    def _answer(self, idea: Idea, passages: Sequence[Passage]) -> str | None:
        """None where `passages` are not what it takes."""
        if idea.declines == "said" or _same(idea.answer, self._tools.declines):
            return self._tools.declines
        if idea.declines:
            return None if _say_it(passages, idea) else self._tools.declines
        if idea.origin == "corpus":
            return _quoted(idea, passages)
        return self._tools.cite(idea.question, idea.answer, passages)

    def _written(
        self, idea: Idea, side: Side, passages: Sequence[Passage], answer: str
    ) -> Row | Reason:
        try:
            messages, room = self._tools.prompt(idea.question, passages, idea.history)
        except TooLarge:
            return "too_long"
        cited = [int(number) for number in MARKER.findall(answer)]
        # The only passage may have been cut, and what is said with it.
        whole = room > 1 or passages[0].content.strip()[-40:] in messages[-1]["content"]
        if max(cited, default=0) > room or not whole:
            return "too_long"
        documents = dict.fromkeys([*idea.documents, *(one.source for one in passages[:room])])
        return Row(
            side, messages, self._tools.plain(answer), idea.origin, tuple(documents),
            idea.collection, idea.kind, answer == self._tools.declines, room,
        )  # fmt: skip


def _unanswered(idea: Idea) -> Reason:
    if idea.declines:
        return "answered_elsewhere"
    return "not_found" if idea.origin == "corpus" else "unsupported"


def _quoted(idea: Idea, passages: Sequence[Passage]) -> str | None:
    """The sentences that answer, each with its passage's number; None where none was found."""
    said: dict[str, int] = {}
    for number, passage in enumerate(passages, start=1):
        if (sentence := _sentence(idea, passage)) is not None:
            said.setdefault(shown(sentence), number)
    return " ".join(marked(text, number) for text, number in said.items()) or None


def _sentence(idea: Idea, passage: Passage) -> str | None:
    """That of `passage` which answers."""
    sentence = idea.answers.get(passage.source)
    return sentence if sentence is not None and sentence in passage.content else None


def _say_it(passages: Sequence[Passage], idea: Idea) -> bool:
    """Words may differ, numbers may not."""
    said = f"{idea.question} {idea.learnt()}"
    texts = [" ".join((one.title, *one.heading_path, one.content)) for one in passages]
    wanted, counted = terms(said), numbers(said)
    held = [len(wanted & terms(text)) for text in texts if counted <= numbers(text)]
    return max(held, default=0) >= SAYS_IT * len(wanted)


def _redacted(passage: Passage) -> Passage:
    def plain(text: str) -> str:
        return "".join(piece for piece, _ in redacted(text))

    return replace(
        passage,
        title=plain(passage.title),
        heading_path=tuple(map(plain, passage.heading_path)),
        content=plain(passage.content),
    )


def _same(one: str, other: str) -> bool:
    return one.casefold().strip(" .") == other.casefold().strip(" .")


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
