"""What texts say: their sentences, with the words, numbers, names and vectors to compare by."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from model_pipeline.domain import Embedder
from model_pipeline.text.sentences import sentences
from model_pipeline.text.words import STOPWORDS, WORD, denies, names, numbers, shown, stems

Vectors = NDArray[np.float32]

# What says only that there is no answer: "I do not have that information", "The documents do not
# say", "Not mentioned in the context". Written from the refusals of half of MTRAG-UN's tasks.
_WHO = (
    r"I|we|documents?|documentation|passages?|the context|texts?|sources?|answers?|information|"
    r"there"
)
_NOT = r"not|cannot|unable|no|neither|lacks?|without"
_KNOWN = (
    r"information|info|details?|knowledge|know|knowing|answer\w*|data|aware|find|found|mention\w*|"
    r"specif\w+|provide[sd]?|sure|help|assist|advise|confirm|says?|state[sd]?|contain\w*|name|"
    r"recommendation|discuss\w*|address\w*"
)
_PLACE = r"documents?|documentation|context|passages?|sources?|texts?"
DECLINES = re.compile(
    rf"\b(?:{_WHO})\b[^.;:]{{0,60}}?(?:\b(?:{_NOT})\b|n['’]t\b)[^.;:]{{0,40}}?\b(?:{_KNOWN})\b"
    rf"|^(?:no|not (?:enough|mentioned|specified|found|in the))\b.{{0,40}}"
    rf"\b(?:information|answers?|details?|mentioned|{_PLACE})\b"
    r"|\bnot (?:mentioned|specified|provided|stated|found|in|covered|available)\b.{0,30}"
    rf"\b(?:{_PLACE})\b",
    re.IGNORECASE,
)
# What is polite and says nothing.
COURTESY = re.compile(
    r"\b(?:thank(?:s| you)|you(?:['’]re| are) welcome|(?:happy|glad) to (?:help|assist)|"
    r"hope (?:this|that|it) (?:helps|answers)|let me know|feel free|anything else|"
    r"(?:good|great|excellent) (?:question|thing to ask))\b|^(?:sure|certainly|of course)[!.,]*$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Statement:
    """A sentence, a list item, a heading or a row, as it is shown. `order` are the stems of the
    words that say something, as they come."""

    text: str
    order: tuple[str, ...]

    @cached_property
    def terms(self) -> frozenset[str]:
        return frozenset(self.order)

    @cached_property
    def bigrams(self) -> frozenset[tuple[str, str]]:
        return frozenset(zip(self.order, self.order[1:], strict=False))

    @cached_property
    def numbers(self) -> frozenset[str]:
        return frozenset(numbers(self.text))

    @cached_property
    def names(self) -> frozenset[str]:
        return frozenset(names(self.text))

    @cached_property
    def denies(self) -> bool:
        return denies(self.text)

    @cached_property
    def declines(self) -> bool:
        return DECLINES.search(self.text) is not None

    @cached_property
    def claims(self) -> bool:
        """Whether it says something that can be right or wrong."""
        asks = self.text.endswith("?")
        return bool(self.order) and not (asks or self.declines or COURTESY.search(self.text))


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A question: its own words and numbers, those of all that was said before it, and the vector
    of it after the user's last turn, [dimensions]."""

    terms: frozenset[str]
    numbers: frozenset[str]
    talk: frozenset[str]
    vector: Vectors


@dataclass(frozen=True)
class Text:
    """`vectors` is [len(statements), dimensions], rows of norm 1."""

    statements: tuple[Statement, ...]
    vectors: Vectors

    @cached_property
    def claims(self) -> Text:
        return self.only([n for n, one in enumerate(self.statements) if one.claims])

    def only(self, chosen: Sequence[int]) -> Text:
        return Text(tuple(self.statements[n] for n in chosen), self.vectors[list(chosen)])

    @property
    def declines(self) -> bool:
        return any(one.declines for one in self.statements)

    @cached_property
    def terms(self) -> frozenset[str]:
        return frozenset[str]().union(*(one.terms for one in self.statements))

    @cached_property
    def numbers(self) -> frozenset[str]:
        return frozenset[str]().union(*(one.numbers for one in self.statements))

    @cached_property
    def bigrams(self) -> frozenset[tuple[str, str]]:
        return frozenset[tuple[str, str]]().union(*(one.bigrams for one in self.statements))

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """[n], of sum 1: a statement counts by its words that say something."""
        words = np.array([max(1, len(one.terms)) for one in self.statements], dtype=np.float64)
        return np.asarray(words / words.sum())

    @cached_property
    def mean(self) -> Vectors:
        """[dimensions], of norm 1: its statements' vectors by their weights."""
        return normed(np.asarray(self.weights @ self.vectors, dtype=np.float32))


def joined(texts: Sequence[Text]) -> Text:
    if not texts:
        return Text((), np.zeros((0, 0), np.float32))
    return Text(
        tuple(one for text in texts for one in text.statements),
        np.concatenate([text.vectors for text in texts]),
    )


def normed(vectors: Vectors) -> Vectors:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-9), dtype=np.float32)


def share(held: Collection[object], of: Collection[object], default: float = 0.0) -> float:
    return len(held) / len(of) if of else default


def read(
    texts: Iterable[str], questions: Iterable[str], embedder: Embedder
) -> tuple[dict[str, Text], dict[str, Vectors]]:
    """Each distinct text by its sentences, each question as a whole: all in one call."""
    found = {text: statements(text) for text in dict.fromkeys(texts)}
    asked = list(dict.fromkeys(questions))
    said = sorted({one.text for each in found.values() for one in each} | set(asked))
    place = {text: n for n, text in enumerate(said)}
    vectors = embedder.embed(said) if said else np.zeros((0, embedder.dimensions), np.float32)
    read = {
        text: Text(each, vectors[[place[one.text] for one in each]]) for text, each in found.items()
    }
    return read, {text: vectors[place[text]] for text in asked}


def statements(text: str) -> tuple[Statement, ...]:
    text = text.encode("utf-8", "replace").decode()  # lone surrogates
    pieces = [shown(text[one.start : one.end]) for one in sentences(text)]
    return tuple(Statement(piece, _order(piece)) for piece in pieces if piece)


def _order(text: str) -> tuple[str, ...]:
    return tuple(stems([word for word in WORD.findall(text.lower()) if word not in STOPWORDS]))
