"""Test sets from a corpus: questions whose source passage is known, balanced over the documents.

A question is taken from each document in turn, of the kind that there is least of so far, until
there are enough. What many sentences answer ("What does X provide?") is asked by none of them.
Unanswerable questions are another corpus's, whose words this one lacks.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from model_pipeline.errors import ModelUnavailable
from model_pipeline.evaluation.examples import Example
from model_pipeline.evaluation.questions import Asked, questions
from model_pipeline.evaluation.rows import id_of
from model_pipeline.text.words import shown

FAILURES = 3  # of a model in a row, each after attempts of its own
MOST_ANSWERS = 2  # sentences of a question; one that more answer is too wide
ABSENT = 2  # the fewest words of an unanswerable question that the corpus lacks


@dataclass(frozen=True, slots=True)
class Source:
    """A passage of the document `source`; `tags` are what its questions are sliced by."""

    source: str
    content: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A question with the sentences that answer it, by the source each stands in."""

    question: str
    kind: str
    answers: Mapping[str, str]
    tags: Mapping[str, str] = field(default_factory=dict)


AskModel = Callable[[Source], Awaitable[Asked | None]]
"""A model's question of a passage, checked; None where it made none that stands. Raises
ModelUnavailable."""


def by_rules(passages: Iterable[Source]) -> list[Candidate]:
    """In the passages' order."""
    return gathered(
        (passage, asked) for passage in passages for asked in questions(passage.content)
    )


async def by_model(
    passages: Sequence[Source],
    ask: AskModel,
    *,
    n: int,
    seed: int,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Candidate]:
    """Of passages in turn over the documents, until there are `n` questions or no more passages. A
    passage for which the model fails is left out; raises ModelUnavailable where it fails for
    FAILURES of them in a row."""
    found: list[tuple[Source, Asked]] = []
    failures = 0
    for passage in _in_turn(passages, lambda one: one.source, seed) if n else ():
        try:
            asked = await ask(passage)
            failures = 0
        except ModelUnavailable:
            failures += 1
            if failures == FAILURES:
                raise
            continue
        if asked is not None:
            found.append((passage, asked))
            progress(len(found))
            if len(found) == n:
                break
    return gathered(found)


def gathered(found: Iterable[tuple[Source, Asked]]) -> list[Candidate]:
    """One candidate a question; without those that are too wide."""
    of: dict[str, list[tuple[Source, Asked]]] = defaultdict(list)
    for passage, asked in found:
        same = of[asked.question.casefold()]
        if asked.sentence not in [before.sentence for _, before in same]:
            same.append((passage, asked))
    return [
        Candidate(
            same[0][1].question,
            same[0][1].kind,
            {passage.source: asked.sentence for passage, asked in same},
            same[0][0].tags,
        )
        for same in of.values()
        if len(same) <= MOST_ANSWERS
    ]


def chosen(candidates: Sequence[Candidate], *, n: int, seed: int) -> list[Candidate]:
    """At most `n`: one of each document in turn, of the kind there is least of so far."""
    shuffled = random.Random(seed)  # noqa: S311 - a sample, not a secret
    of: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        of[next(iter(candidate.answers))].append(candidate)
    documents = sorted(of)
    shuffled.shuffle(documents)
    for source in documents:
        shuffled.shuffle(of[source])
    kinds: Counter[str] = Counter()
    taken: list[Candidate] = []
    while len(taken) < n and documents:
        for source in documents[: n - len(taken)]:
            best = min(range(len(of[source])), key=lambda at: (kinds[of[source][at].kind], at))
            candidate = of[source].pop(best)
            kinds[candidate.kind] += 1
            taken.append(candidate)
        documents = [source for source in documents if of[source]]
    return taken


def answerable(candidates: Iterable[Candidate]) -> list[Example]:
    return [
        Example(
            example_id=id_of(one.question),
            question=one.question,
            references=tuple(dict.fromkeys(map(shown, one.answers.values()))),
            relevant=dict.fromkeys(one.answers, 1),
            answerable=True,
            tags={**one.tags, "question_type": one.kind},
        )
        for one in candidates
    ]


def unanswerable(
    candidates: Sequence[Candidate],
    absent: Callable[[Sequence[str]], Sequence[int]],
    *,
    n: int,
    seed: int,
) -> list[Example]:
    """Other corpora's questions. `absent` gives how many of each question's words the corpus
    lacks."""
    counts = absent([one.question for one in candidates])
    lacking = [one for one, count in zip(candidates, counts, strict=True) if count >= ABSENT]
    return [
        Example(
            example_id=id_of(one.question),
            question=one.question,
            answerable=False,
            tags={"question_type": one.kind},
        )
        for one in chosen(lacking, n=n, seed=seed)
    ]


def _in_turn(
    passages: Sequence[Source], of: Callable[[Source], str], seed: int
) -> Iterable[Source]:
    shuffled = random.Random(seed)  # noqa: S311 - a sample, not a secret
    groups: dict[str, list[Source]] = defaultdict(list)
    for passage in passages:
        groups[of(passage)].append(passage)
    names = sorted(groups)
    shuffled.shuffle(names)
    for name in names:
        shuffled.shuffle(groups[name])
    while names:
        for name in names:
            yield groups[name].pop()
        names = [name for name in names if groups[name]]
