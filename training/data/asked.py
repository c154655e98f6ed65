"""What rows may be made of, before anything is searched: questions of the documents by rules, and
what people corrected or liked."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Generic, Literal, TypeVar

from model_pipeline.documents.decode import clean
from model_pipeline.domain import Turn
from model_pipeline.evaluation.asked import RANK, AskedRow
from model_pipeline.evaluation.generated import Candidate, Source, gathered
from model_pipeline.evaluation.questions import Asked, questions
from model_pipeline.evaluation.rows import MAX_QUESTION
from model_pipeline.material import RatedRow
from model_pipeline.text.personal import PERSONAL
from training.data.split import rank

Origin = Literal["corpus", "corrected", "liked"]
Declines = Literal["", "said", "withheld", "elsewhere"]
"""Why a row declines: somebody liked that it did, its documents are kept from it, or another
collection is asked."""
DECLINED_EVERY = 5  # of the questions of documents
MOST_A_DOCUMENT = 100  # questions
SPARE = 2  # questions held for each row that is wanted: some turn out to make none
LONGEST_ANSWER = 8_000  # characters
Left = Counter[str]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Idea:
    """A row to be. `answers` are the sentences that answer, by the document each stands in;
    `answer` is what a person said. `collection` is asked (None: all)."""

    origin: Origin
    question: str
    collection: str | None
    kind: str
    answers: Mapping[str, str] = field(default_factory=dict)
    answer: str = ""
    documents: tuple[str, ...] = ()
    history: tuple[Turn, ...] = ()
    declines: Declines = ""

    def learnt(self) -> str:
        """What is to be said."""
        return self.answer or " ".join(self.answers.values())

    def is_personal(self) -> bool:
        return any(PERSONAL.search(text) for text in self.texts())

    def texts(self) -> Iterator[str]:
        yield self.question
        yield self.learnt()
        yield from (turn.content for turn in self.history)


class Sample(Generic[T]):
    """What `read` takes from a stream of passages, at most `most` of each collection: the same
    whatever comes first. Where there is more, it is that of fewer documents, and never more than
    MOST_A_DOCUMENT of one. `key` tells two apart."""

    def __init__(
        self,
        read: Callable[[str], Iterable[T]],
        key: Callable[[T], tuple[str, ...]],
        *,
        most: int,
        seed: int,
    ) -> None:
        self._read, self._key, self._most, self._seed = read, key, most, seed
        self._held: dict[str, dict[str, list[T]]] = defaultdict(dict)
        self._many: Counter[str] = Counter()
        self._share: dict[str, float] = defaultdict(lambda: 1.0)

    def add(self, collection: str, source: str, passage: str) -> None:
        if rank(self._seed, source) >= self._share[collection]:
            return
        held = self._held[collection].setdefault(source, [])
        for one in self._read(passage):
            held.append(one)
            self._many[collection] += len(held) <= MOST_A_DOCUMENT
        if len(held) > 2 * MOST_A_DOCUMENT:
            self._held[collection][source] = self._first(held)
        while self._many[collection] > self._most and len(self._held[collection]) > 1:
            self._halve(collection)

    @property
    def collections(self) -> list[str]:
        return sorted(self._held)

    def of(self, collection: str) -> list[tuple[str, T]]:
        """Each with its document."""
        held = self._held[collection]
        return [(source, one) for source in sorted(held) for one in self._first(held[source])]

    def _first(self, held: Iterable[T]) -> list[T]:
        def order(one: T) -> tuple[float, tuple[str, ...]]:
            return rank(self._seed, *self._key(one)), self._key(one)

        return sorted(held, key=order)[:MOST_A_DOCUMENT]

    def _halve(self, collection: str) -> None:
        self._share[collection] /= 2
        kept = {
            source: many
            for source, many in self._held[collection].items()
            if rank(self._seed, source) < self._share[collection]
        }
        self._held[collection] = kept
        self._many[collection] = sum(min(len(one), MOST_A_DOCUMENT) for one in kept.values())


def by_rules(*, most: int, seed: int) -> Sample[Asked]:
    """Of the questions that the sentences of passages answer."""
    return Sample(questions, lambda one: (one.question, one.sentence), most=most, seed=seed)


def by_model(*, most: int, seed: int) -> Sample[str]:
    """Of the passages that a model is to word questions of."""
    return Sample(lambda passage: [passage], lambda one: (one,), most=most, seed=seed)


def of_sentences(collection: str, held: Iterable[tuple[str, Asked]]) -> list[Idea]:
    """What many sentences answer is asked by none."""
    return of_candidates(
        collection, gathered((Source(source, ""), asked) for source, asked in held)
    )


def of_candidates(collection: str, candidates: Iterable[Candidate]) -> list[Idea]:
    return [
        Idea(
            "corpus", one.question, collection, one.kind, one.answers, documents=tuple(one.answers)
        )
        for one in candidates
    ]


def of_people(rows: Iterable[RatedRow], left: Left) -> list[Idea]:
    """Of one question (with what was said before it) the best rated counts, then the newest."""
    best: dict[tuple[str | None, str], RatedRow] = {}
    for row in rows:
        asked = row.asked
        if asked.rated == "asked":
            continue
        said = [str(turn.get("question", "")) for turn in asked.history]
        key = (
            asked.collection,
            "\n".join(" ".join(one.casefold().split()) for one in (*said, asked.question)),
        )
        if key not in best:
            best[key] = row
            continue
        left["duplicate"] += 1
        best[key] = min(row, best[key], key=_preferred)
    found = []
    for row in sorted(best.values(), key=_preferred):
        if len(row.asked.question) > MAX_QUESTION or len(_answer(row.asked)) > LONGEST_ANSWER:
            left["too_long"] += 1
        else:
            found.append(_of_row(row.asked))
    return found


def in_order(
    of_documents: Mapping[str, Sequence[Idea]], people: Sequence[Idea], *, seed: int
) -> list[Idea]:
    """Whatever is taken of them from the front is balanced: origins in turn, in each collections,
    in each documents, in each kinds of questions, by chance; of the documents' every fifth
    declines."""
    corpus = [one for many in of_documents.values() for one in many]
    keys: list[Callable[[Idea], str]] = [
        lambda one: one.collection or "",
        lambda one: one.documents[0] if one.documents else "",
        lambda one: one.kind,
    ]
    rated = (
        iter(_in_turn([one for one in people if one.origin == origin], keys, seed))
        for origin in ("corrected", "liked")
    )
    asked = _declining(_in_turn(corpus, keys, seed), sorted(of_documents))
    return list(_alternating([*rated, asked]))


def _declining(ideas: Iterable[Idea], collections: Sequence[str]) -> Iterator[Idea]:
    """Of each collection every fifth; of those every other asks another collection, if there is
    one."""
    seen: Counter[str | None] = Counter()
    for one in ideas:
        declined, place = divmod(seen[one.collection], DECLINED_EVERY)
        seen[one.collection] += 1
        others = [name for name in collections if name != one.collection]
        if place < DECLINED_EVERY - 1:
            yield one
        elif others and declined % 2:
            yield replace(one, collection=others[declined // 2 % len(others)], declines="elsewhere")
        else:
            yield replace(one, declines="withheld")


def _in_turn(ideas: Iterable[Idea], keys: Sequence[Callable[[Idea], str]], seed: int) -> list[Idea]:
    """The groups of the first key in turn, in each those of the next one, in the last by chance."""
    ordered = sorted(ideas, key=lambda one: (rank(seed, one.question), one.question))
    for depth in range(len(keys), 0, -1):
        seen: Counter[tuple[str, ...]] = Counter()
        placed = []
        for one in ordered:
            group = tuple(key(one) for key in keys[:depth])
            placed.append((seen[group], rank(seed, group[-1]), one))
            seen[group] += 1
        ordered = [one for *_, one in sorted(placed, key=lambda place: place[:2])]
    return ordered


def _alternating(streams: Sequence[Iterator[T]]) -> Iterator[T]:
    going = list(streams)
    while going:
        still = []
        for stream in going:
            for one in islice(stream, 1):
                yield one
                still.append(stream)
        going = still


def _preferred(row: RatedRow) -> tuple[int, float, str]:
    return RANK[row.asked.rated], -row.said_at.timestamp(), row.answer_id


def _answer(row: AskedRow) -> str:
    return clean(row.corrected or row.answer)


def _of_row(row: AskedRow) -> Idea:
    assert row.rated != "asked"
    turns = [
        one
        for turn in row.history
        for one in (Turn("user", _text(turn, "question")), Turn("assistant", _text(turn, "answer")))
    ]
    says_none = row.declined and not row.corrected
    return Idea(
        row.rated,
        clean(row.question),
        row.collection,
        row.rated,
        answer=_answer(row),
        # What a declined or a wrong answer cited is not where the right one stands.
        documents=() if row.corrected or row.declined else tuple(row.sources),
        history=tuple(turns),
        declines="said" if says_none else "",
    )


def _text(turn: Mapping[str, Any], key: str) -> str:
    return clean(str(turn[key]))
