"""Answers whose worth is known, made from public data: what `benchmarks.agreement` rates by.

What is changed about an answer is known, so its worth is; the refusals are as people wrote them.
Right and wrong answers of a kind are reworded alike (sentences in another order, function words
left out), so that none is told by being a copy of its reference.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchmarks.answered import Answered
from model_pipeline.domain import Embedder
from model_pipeline.evaluation.examples import Example, Pair, Prediction, Retrieved
from model_pipeline.text.sentences import sentences
from model_pipeline.text.words import NAME, NUMBER, STOPWORDS

Target = Literal["relevance", "coverage", "faithfulness"]
EVERY: tuple[Target, ...] = ("relevance", "coverage", "faithfulness")
OF_THE_QUESTION: tuple[Target, ...] = ("relevance", "coverage")
OF_FACTS: tuple[Target, ...] = ("coverage", "faithfulness")
LEFT_OUT = 0.4  # of the function words
MIN_WORDS = 4
MORE = 3  # sentences of its passages that follow an answer
VERB = re.compile(r"\b(?:is|are|can|was|were|will|should|has|must)\b")
POLITE = (
    "Thank you for your question! {question} That is a good thing to ask, and I am happy to help. "
    "{answer} I hope that this answers your question. Please let me know if there is anything else "
    "that you would like to know."
)


@dataclass(frozen=True, slots=True)
class Rated:
    """`worth` from 0 to 1; of `targets`, it is what they should say."""

    kind: str
    targets: tuple[Target, ...]
    half: int
    domain: str
    pair: Pair
    worth: float


@dataclass(frozen=True, slots=True)
class Beside:
    """The right answer in its other wording, and what answers are made wrong with: a right one to
    the nearest other question, the nearest passage that does not hold the answer, names and facts
    of others, refusals."""

    own: str
    nearest: Answered
    passage: Retrieved | None
    names: Sequence[str]
    facts: Sequence[Answered]
    refusals: Sequence[str]


def rated(every: Sequence[Answered], embedder: Embedder, seed: int = 0) -> Iterator[Rated]:
    rng = random.Random(seed)
    right = [
        one
        for one in every
        if one.label == "ANSWERABLE" and one.passages and len(one.answer.split()) >= MIN_WORDS
    ]
    lacking = [one for one in every if one.label == "UNANSWERABLE" and not one.passages]
    refusals = [one.answer for one in lacking]
    names = sorted({name for one in right for name in NAME.findall(one.answer)})
    facts = [one for one in right if one.facts]
    nearest = _nearest(right, right, embedder)
    passages = _nearest_passages(right, embedder)
    for one, other, passage in zip(right, nearest, passages, strict=True):
        beside = Beside(_reworded(one.answer, rng), other, passage, names, facts, refusals)
        for make in (_of_another, _refused, _made_wrong, _shares, _of_passages, _of_facts):
            yield from make(one, beside, rng)
    for one, other in zip(lacking, _nearest(lacking, right, embedder), strict=True):
        declined = rng.choice([text for text in refusals if text != one.answer])
        yield _row("nothing to answer", ("coverage",), one, declined, 1)
        yield _row("nothing to answer", ("coverage",), one, _reworded(other.answer, rng), 0)
    yield from _of_another_turn(every, embedder, rng)


def _of_another(one: Answered, beside: Beside, rng: random.Random) -> Iterator[Rated]:
    own, its = beside.own, _reworded(beside.nearest.answer, rng)
    polite = POLITE.format(question=one.question, answer=own)
    yield _row("another question's", EVERY, one, own, 1)
    yield _row("another question's", EVERY, one, its, 0)
    yield _row("verbose", EVERY, one, polite, 1)
    yield _row("verbose", EVERY, one, its, 0)
    yield _row("both verbose", EVERY, one, polite, 1)
    yield _row("both verbose", EVERY, one, POLITE.format(question=one.question, answer=its), 0)
    for answered, text, worth in ((one, own, 1), (beside.nearest, its, 0)):
        more = [said for each in answered.passages for said in _said(each.content)]
        start = rng.randrange(max(1, len(more) - MORE))
        longer = " ".join([text, *more[start : start + MORE]])
        yield _row("with more", OF_THE_QUESTION, one, longer, worth)


def _refused(one: Answered, beside: Beside, rng: random.Random) -> Iterator[Rated]:
    own = beside.own
    yield _row("refused", OF_THE_QUESTION, one, own, 1)
    yield _row("refused", OF_THE_QUESTION, one, rng.choice(beside.refusals), 0)
    yield _row("question repeated", OF_THE_QUESTION, one, own, 1)
    yield _row("question repeated", OF_THE_QUESTION, one, one.question, 0)


def _made_wrong(one: Answered, beside: Beside, rng: random.Random) -> Iterator[Rated]:
    for kind, wrong, kept in _wrong(one.answer, beside.names, rng):
        yield _row(kind, OF_FACTS, one, beside.own, 1)
        yield _row(kind, OF_FACTS, one, _reworded(wrong, rng), kept)


def _shares(one: Answered, beside: Beside, rng: random.Random) -> Iterator[Rated]:
    said = _said(one.answer)
    if len(said) > 2:
        kept = rng.sample(said, rng.randint(1, len(said)))
        share = len(" ".join(kept).split()) / len(" ".join(said).split())
        yield _row("sentences removed", ("coverage",), one, _reworded(" ".join(kept), rng), share)
    added = _said(beside.nearest.answer)
    added = rng.sample(added, rng.randint(0, len(added)))
    share = len(one.answer.split()) / len(f"{one.answer} {' '.join(added)}".split())
    text = _reworded(" ".join([*said, *added]), rng)
    yield _row("sentences added", ("faithfulness",), one, text, share)


def _of_passages(one: Answered, beside: Beside, rng: random.Random) -> Iterator[Rated]:
    if beside.passage is not None:
        yield _row("a whole passage", OF_THE_QUESTION, one, rng.choice(one.passages).content, 1)
        yield _row("a whole passage", OF_THE_QUESTION, one, beside.passage.content, 0)


def _of_facts(one: Answered, beside: Beside, rng: random.Random) -> Iterator[Rated]:
    if not one.facts:
        return
    others = [each for each in beside.facts if each.talk != one.talk]
    other = rng.choice([each for each in others if each.facts.keys() == one.facts.keys()])
    renamed = other.answer.replace(other.facts["name"], one.facts["name"])
    if renamed != other.answer:
        yield _row("another product's", OF_FACTS, one, beside.own, 1)
        yield _row("another product's", OF_FACTS, one, _reworded(renamed, rng), 0)
    asked = [key for key in one.facts if key != "name"]
    if len(asked) != 1:
        return
    fact, wrong = one.facts[asked[0]], other.facts[asked[0]]
    if fact.removesuffix(".00") == wrong.removesuffix(".00"):
        return
    yield _row("a bare fact", OF_FACTS, one, fact, 1)
    yield _row("a bare fact", OF_FACTS, one, wrong, 0)
    changed = one.answer.replace(fact.removesuffix("0").removesuffix(".0"), wrong)
    if changed != one.answer:
        for text, worth in ((one.answer, 1), (changed, 0)):
            said = _reworded(text, rng)
            yield _row("of a bare fact", ("coverage",), one, said, worth, reference=fact)


def _of_another_turn(
    every: Sequence[Answered], embedder: Embedder, rng: random.Random
) -> Iterator[Rated]:
    """One earlier turn a talk, and the answer of the same talk that is nearest to its question."""
    talks: dict[str, list[Answered]] = {}
    for one in every:
        if one.domain == "earlier turn":
            talks.setdefault(one.talk, []).append(one)
    for turns in talks.values():
        if len(turns) < 2:
            continue
        one = rng.choice(turns)
        others = [each.answer for each in turns if each.answer != one.answer]
        if not others:
            continue
        vectors = embedder.embed([one.question, *others])
        other = others[int(np.argmax(vectors[1:] @ vectors[0]))]
        yield _row("another turn's", ("relevance",), one, _reworded(one.answer, rng), 1)
        yield _row("another turn's", ("relevance",), one, _reworded(other, rng), 0)


def _row(
    kind: str,
    targets: tuple[Target, ...],
    one: Answered,
    answer: str,
    worth: float,
    *,
    reference: str | None = None,
) -> Rated:
    pair = Pair(
        Example(one.key, one.question, (reference or one.answer,), history=one.history),
        Prediction(one.key, answer, passages=one.passages),
    )
    return Rated(kind, targets, one.half, one.domain, pair, worth)


def _nearest(
    asked: Sequence[Answered], every: Sequence[Answered], embedder: Embedder
) -> list[Answered]:
    """To each of `asked`, the one of its collection with the nearest question that has other
    passages."""
    its, theirs = (embedder.embed([one.question for one in each]) for each in (asked, every))
    found = []
    for row, one in zip(its @ theirs.T, asked, strict=True):
        held = {passage.content for passage in one.passages}
        allowed = [
            other.collection == one.collection
            and not held & {passage.content for passage in other.passages}
            for other in every
        ]
        found.append(every[int(np.argmax(np.where(allowed, row, -1)))])
    return found


def _nearest_passages(every: Sequence[Answered], embedder: Embedder) -> list[Retrieved | None]:
    """To each question, the nearest passage of its collection that is none of its own."""
    passages = {(one.collection, each.content): each for one in every for each in one.passages}
    keys = list(passages)
    vectors = embedder.embed([content for _, content in keys])
    questions = embedder.embed([one.question for one in every])
    found: list[Retrieved | None] = []
    for row, one in zip(questions @ vectors.T, every, strict=True):
        own = {each.content for each in one.passages}
        allowed = [key[0] == one.collection and key[1] not in own for key in keys]
        best = int(np.argmax(np.where(allowed, row, -1)))
        found.append(passages[keys[best]] if allowed[best] else None)
    return found


def _said(text: str) -> list[str]:
    return [text[one.start : one.end] for one in sentences(text)]


def _reworded(text: str, rng: random.Random) -> str:
    said = _said(text)
    rng.shuffle(said)
    return " ".join(
        word
        for word in " ".join(said).split()
        if word.lower() not in STOPWORDS or rng.random() > LEFT_OUT
    )


def _wrong(text: str, names: Sequence[str], rng: random.Random) -> Iterator[tuple[str, str, float]]:
    """`text` made wrong in one place, by kind, and the share of its words in other sentences."""
    changes: list[tuple[str, int, int, str]] = []
    if number := NUMBER.search(text, 4):  # one that begins it may be a list's
        other = str(int(re.sub(r"\D", "", number[0])) + rng.randint(1, 9))
        changes.append(("another number", number.start(), number.end(), other))
    if verb := VERB.search(text):
        changes.append(("denied", verb.end(), verb.end(), " not"))
    if found := list(NAME.finditer(text)):
        name = rng.choice(found)
        other = rng.choice([one for one in names if one.lower() not in text.lower()])
        changes.append(("another name", name.start(), name.end(), other))
    for kind, start, end, other in changes:
        within = [one for one in sentences(text) if one.start <= start < one.end]
        changed = sum(len(text[one.start : one.end].split()) for one in within)
        yield kind, text[:start] + other + text[end:], 1 - changed / len(text.split())
