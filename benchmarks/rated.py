"""Answers whose worth is known, made from public data: what `benchmarks.agreement` rates by.

People's questions, reference answers and passages (MTRAG-UN, Anthropic's documentation). What is
changed about an answer is known, so its worth is; the refusals are as people wrote them. Right and
wrong answers of a kind are reworded alike (sentences in another order, function words left out), so
that none is told by being a copy of its reference.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchmarks.corpora import DATA
from benchmarks.turns import half
from model_pipeline.domain import Embedder, Turn
from model_pipeline.evaluation.examples import Example, Pair, Prediction, Retrieved
from model_pipeline.text.sentences import sentences
from model_pipeline.text.words import NAME, NUMBER, STOPWORDS

Target = Literal["relevance", "coverage", "faithfulness"]
EVERY: tuple[Target, ...] = ("relevance", "coverage", "faithfulness")
LEFT_OUT = 0.4  # of the function words
MIN_WORDS = 4
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
    pair: Pair
    worth: float


@dataclass(frozen=True, slots=True)
class Answered:
    key: str
    talk: str
    """The conversation: what is of one falls into one half."""
    collection: str
    label: str
    question: str
    history: tuple[Turn, ...]
    answer: str
    passages: tuple[Retrieved, ...]

    @property
    def half(self) -> int:
        return half(self.talk)


def answered() -> list[Answered]:
    """What people asked and answered, in the data's order."""
    return [*_anthropic(), *_mtrag()]


def rated(every: Sequence[Answered], embedder: Embedder, seed: int = 0) -> Iterator[Rated]:
    rng = random.Random(seed)
    right = [
        one
        for one in every
        if one.label == "ANSWERABLE" and one.passages and len(one.answer.split()) >= MIN_WORDS
    ]
    refusals = [one.answer for one in every if one.label == "UNANSWERABLE" and not one.passages]
    names = sorted({name for one in right for name in NAME.findall(one.answer)})
    nearest = _nearest(right, embedder)
    for one, other in zip(right, nearest, strict=True):
        own, its = _reworded(one.answer, rng), _reworded(other.answer, rng)
        yield _row("another question's", EVERY, one, own, 1)
        yield _row("another question's", EVERY, one, its, 0)
        yield _row("verbose", EVERY, one, POLITE.format(question=one.question, answer=own), 1)
        yield _row("verbose", EVERY, one, its, 0)
        yield _row("refused", ("relevance", "coverage"), one, own, 1)
        yield _row("refused", ("relevance", "coverage"), one, rng.choice(refusals), 0)
        yield _row("question repeated", ("relevance", "coverage"), one, own, 1)
        yield _row("question repeated", ("relevance", "coverage"), one, one.question, 0)
        for kind, wrong, kept in _wrong(one.answer, names, rng):
            yield _row(kind, ("coverage", "faithfulness"), one, own, 1)
            yield _row(kind, ("coverage", "faithfulness"), one, _reworded(wrong, rng), kept)
        said = _said(one.answer)
        if len(said) > 2:
            kept = rng.sample(said, rng.randint(1, len(said)))
            share = len(" ".join(kept).split()) / len(" ".join(said).split())
            yield _row(
                "sentences removed", ("coverage",), one, _reworded(" ".join(kept), rng), share
            )
        added = _said(other.answer)
        added = rng.sample(added, rng.randint(0, len(added)))
        share = len(one.answer.split()) / len(f"{one.answer} {' '.join(added)}".split())
        text = _reworded(" ".join([*said, *added]), rng)
        yield _row("sentences added", ("faithfulness",), one, text, share)


def _row(kind: str, targets: tuple[Target, ...], one: Answered, answer: str, worth: float) -> Rated:
    pair = Pair(
        Example(one.key, one.question, (one.answer,), history=one.history),
        Prediction(one.key, answer, passages=one.passages),
    )
    return Rated(kind, targets, one.half, pair, worth)


def _nearest(every: Sequence[Answered], embedder: Embedder) -> list[Answered]:
    """To each, the one of its collection with the nearest question that has other passages."""
    vectors = embedder.embed([one.question for one in every])
    nearness = vectors @ vectors.T
    found = []
    for row, one in zip(nearness, every, strict=True):
        held = {passage.content for passage in one.passages}
        allowed = [
            other.collection == one.collection
            and not held & {passage.content for passage in other.passages}
            for other in every
        ]
        found.append(every[int(np.argmax(np.where(allowed, row, -1)))])
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


def _anthropic() -> Iterator[Answered]:
    data = DATA / "anthropic_docs_qa"
    chunks = {
        one["chunk_link"]: Retrieved(one["chunk_link"], one["text"])
        for one in json.loads((data / "anthropic_docs.json").read_text(encoding="utf-8"))
    }
    for one in json.loads((data / "docs_evaluation_dataset.json").read_text(encoding="utf-8")):
        found = tuple(chunks[link] for link in one["correct_chunks"] if link in chunks)
        yield Answered(
            one["id"],
            one["id"],
            "docs",
            "ANSWERABLE",
            one["question"],
            (),
            one["correct_answer"],
            found,
        )


def _mtrag() -> Iterator[Answered]:
    path = DATA / "mtrag/mtragun-human/generation_tasks/reference.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        turns = tuple(
            Turn("user" if turn["speaker"] == "user" else "assistant", turn["text"].strip())
            for turn in one["input"]
        )
        yield Answered(
            one["task_id"],
            one["conversation_id"],
            one["Collection"],
            one["answerability"][0],
            turns[-1].content,
            turns[:-1],
            one["targets"][0]["text"].strip(),
            tuple(Retrieved(each["document_id"], each["text"]) for each in one["contexts"]),
        )
