"""What texts say: their statements, with vectors to compare by."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from model_pipeline.domain import Embedder
from model_pipeline.evaluation.amounts import Amount
from model_pipeline.evaluation.statements import POLAR, Statement, statements

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A question, and the vectors of it alone and after the user's last turn, [dimensions]
    each."""

    statement: Statement
    vector: Vectors
    after_turn: Vectors

    @property
    def terms(self) -> frozenset[str]:
        return self.statement.terms

    @property
    def amounts(self) -> frozenset[Amount]:
        return self.statement.amounts


@dataclass(frozen=True)
class Text:
    """`vectors` is [len(statements), dimensions], rows of norm 1, and `vector` that of the text as
    it stands, [dimensions], where it was embedded."""

    statements: tuple[Statement, ...]
    vectors: Vectors
    vector: Vectors | None = None

    @cached_property
    def claims(self) -> Text:
        found = [n for n, one in enumerate(self.statements) if one.claims]
        weighty = [n for n in found if not self.statements[n].slight]
        return self.only(weighty or found)

    def only(self, chosen: Sequence[int]) -> Text:
        return Text(
            tuple(self.statements[n] for n in chosen), self.vectors[list(chosen)], self.vector
        )

    @property
    def declines(self) -> bool:
        return any(one.declines for one in self.statements)

    @property
    def verdict(self) -> int:
        """1 where it begins with a yes, -1 with a no, else 0."""
        return self.statements[0].verdict if self.statements else 0

    @property
    def slight(self) -> bool:
        """Whether no claim says more than a yes, a no or a list's number."""
        return all(one.slight for one in self.claims.statements)

    @cached_property
    def terms(self) -> frozenset[str]:
        return frozenset[str]().union(*(one.terms for one in self.statements))

    @cached_property
    def names(self) -> frozenset[str]:
        return frozenset[str]().union(*(one.names for one in self.statements))

    @cached_property
    def amounts(self) -> frozenset[Amount]:
        return frozenset[Amount]().union(*(one.amounts for one in self.statements))

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

    @property
    def whole(self) -> Vectors:
        return self.mean if self.vector is None else self.vector


def bare(asked: Asked, answer: Text) -> bool:
    """Whether a yes or a no was asked for, and it is no more than that: in a word, or the question
    as a statement."""
    claims = answer.claims
    if not claims.statements or not POLAR.search(asked.statement.text):
        return False
    again = not claims.terms - asked.terms
    stated = not any(POLAR.match(one.text) for one in claims.statements)
    return (again and stated) or (answer.verdict != 0 and answer.slight)


def joined(texts: Sequence[Text]) -> Text:
    if len(texts) == 1:
        return texts[0]
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


def shared(asked: Asked, wanted: Text, said: Text) -> tuple[float, float]:
    """The share of what is wanted that is said, by words beyond the question's, and the geometric
    mean of that and of the share of what is said that is wanted."""
    given = asked.terms if wanted.terms - asked.terms else frozenset[str]()
    new, told = wanted.terms - given, said.terms - given
    same = len(new & told)
    return same / max(1, len(new)), same / math.sqrt(max(1, len(new)) * max(1, len(told)))


def logistic(found: NDArray[np.float64], weights: Sequence[float]) -> NDArray[np.float64]:
    """[...], of features [..., f] and f weights with a constant behind them."""
    return np.asarray(1 / (1 + np.exp(-(found @ np.array(weights[:-1]) + weights[-1]))))


def read(
    texts: Iterable[str], wholes: Collection[str], embedder: Embedder
) -> tuple[dict[str, Text], dict[str, Vectors]]:
    """Each distinct one of `texts` by its sentences, and the vectors of `wholes`, which some of
    `texts` may be among: all in one call."""
    found = {text: statements(text) for text in dict.fromkeys(texts)}
    said = sorted({one.text for each in found.values() for one in each}.union(wholes))
    place = {text: n for n, text in enumerate(said)}
    vectors = embedder.embed(said) if said else np.zeros((0, embedder.dimensions), np.float32)
    whole = {text: vectors[place[text]] for text in wholes}
    return {
        text: Text(each, vectors[[place[one.text] for one in each]], whole.get(text))
        for text, each in found.items()
    }, whole
