"""Relevance, coverage and faithfulness in one pass: every distinct sentence is embedded once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from model_pipeline.domain import Embedder
from model_pipeline.evaluation import coverage, faithfulness, relevance
from model_pipeline.evaluation.examples import Example, Pair
from model_pipeline.evaluation.measured import Measured, Metric, mean
from model_pipeline.evaluation.said import Asked, Text, Vectors, joined, read
from model_pipeline.evaluation.statements import statement

MAX_CHARACTERS = 250_000
MAX_STATEMENTS = 2_000
TOO_LONG = f"over {MAX_CHARACTERS:,} characters or {MAX_STATEMENTS:,} sentences"
NO_PASSAGES = "no passages are kept with the answer"
NOTHING_WANTED = "neither a reference nor passages"
OTHER_SCRIPT = "the question is not in Latin script, which is all that this is calibrated for"
LATIN = 0x24F  # the last of the letters of Latin Extended-B


@dataclass(slots=True)
class _Values:
    values: list[float | None] = field(default_factory=list)
    failures: dict[int, str] = field(default_factory=dict)

    def add(self, found: float | str | None) -> None:
        """A value, why there is none, or None where none is meant."""
        if isinstance(found, str):
            self.failures[len(self.values)] = found
        self.values.append(None if isinstance(found, str) else found)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A pair, read. What cannot be read is empty, and `unfit` says why, by what it hinders."""

    asked: Asked
    answer: Text
    references: tuple[Text, ...]
    passages: Text
    unfit: Mapping[str, str]


def meaning(embedder: Embedder) -> Metric:
    """Relevance, coverage and faithfulness, as their files define them.

    No answer where one was due scores 0. To decline a question that has no answer is neither
    relevant nor covering nor the opposite: not meant.
    """

    def measure(pairs: Sequence[Pair]) -> Sequence[Measured]:
        found = {name: _Values() for name in ("relevance", "coverage", "faithfulness")}
        for pair, ready in zip(pairs, prepare(pairs, embedder), strict=True):
            found["relevance"].add(_relevance(pair, ready))
            found["coverage"].add(_coverage(pair, ready))
            found["faithfulness"].add(_faithfulness(pair, ready))
        signatures = relevance.SIGNATURE, coverage.SIGNATURE, faithfulness.SIGNATURE
        return [
            mean(name, f"{signature}|{embedder.name}", one.values, failures=one.failures)
            for (name, one), signature in zip(found.items(), signatures, strict=True)
        ]

    return measure


def _relevance(pair: Pair, ready: Prepared) -> float | str | None:
    if rightly_declined(pair):
        return None
    if problem := _problem(ready, "question", "answer", "references"):
        return problem
    if not answered(pair):
        return 0.0
    if pair.prediction.declined:
        return float(any(one.declines and not one.claims.statements for one in ready.references))
    return relevance.relevance(ready.asked, ready.answer, ready.references)


def _coverage(pair: Pair, ready: Prepared) -> float | str | None:
    if rightly_declined(pair):
        return None
    held = "references" if _references(pair) else "passages"
    if problem := _problem(ready, "question", "answer", held):
        return problem
    if not _references(pair) and not _passages(pair):
        return NOTHING_WANTED
    if not answered(pair):
        return 0.0
    wanted = ready.references or (coverage.evidence(ready.asked, ready.passages),)
    return max(coverage.coverage(ready.asked, one, ready.answer) for one in wanted)


def _faithfulness(pair: Pair, ready: Prepared) -> float | str | None:
    if problem := _problem(ready, "question", "answer", "passages"):
        return problem
    if not answered(pair):
        return None if rightly_declined(pair) else 0.0
    if pair.prediction.declined:
        return 1.0
    if not _passages(pair):
        return NO_PASSAGES
    return faithfulness.faithfulness(ready.asked, ready.answer, ready.passages)


def rightly_declined(pair: Pair) -> bool:
    return (
        pair.example.answerable is False
        and pair.prediction.declined
        and pair.prediction.error is None
    )


def answered(pair: Pair) -> bool:
    """Whether there is a word in it."""
    answer = pair.prediction.answer
    return pair.prediction.error is None and any(letter.isalnum() for letter in answer)


def prepare(pairs: Sequence[Pair], embedder: Embedder) -> Iterator[Prepared]:
    """Each pair, in order."""
    unfit = [_too_long(pair) for pair in pairs]
    given = [
        {name: [] if name in problems else texts for name, texts in _texts(pair).items()}
        for pair, problems in zip(pairs, unfit, strict=True)
    ]
    texts = {text for each in given for some in each.values() for text in some}
    wholes = {text for each in given for text in (*each["answer"], *each["references"])}
    for pair in pairs:
        wholes |= {pair.example.question, _after_turn(pair.example)}
    read_texts, vectors = read(texts, wholes, embedder)
    for pair, problems, each in zip(pairs, unfit, given, strict=True):
        found = {name: [read_texts[text] for text in some] for name, some in each.items()}
        for name, some in found.items():
            if sum(len(one.statements) for one in some) > MAX_STATEMENTS:
                problems[name] = f"the {name} {TOO_LONG}"
                some.clear()
        if not _latin(pair.example.question):
            problems["question"] = OTHER_SCRIPT
        yield Prepared(
            _asked(pair.example, vectors),
            joined(found["answer"]),
            tuple(found["references"]),
            joined(found["passages"]),
            problems,
        )


def _texts(pair: Pair) -> dict[str, Sequence[str]]:
    return {
        "answer": [pair.prediction.answer],
        "references": _references(pair),
        "passages": _passages(pair),
    }


def _too_long(pair: Pair) -> dict[str, str]:
    return {
        name: f"the {name} {TOO_LONG}"
        for name, given in _texts(pair).items()
        if sum(len(text) for text in given) > MAX_CHARACTERS
    }


def _problem(ready: Prepared, *needed: str) -> str | None:
    return next((ready.unfit[name] for name in needed if name in ready.unfit), None)


def _passages(pair: Pair) -> list[str]:
    return [one.content for one in pair.prediction.passages if one.content.strip()]


def _references(pair: Pair) -> list[str]:
    return [one for one in pair.example.references if one.strip()]


def _latin(text: str) -> bool:
    letters = [letter for letter in text if letter.isalpha()]
    return 2 * sum(ord(letter) > LATIN for letter in letters) <= len(letters)


def _asked(example: Example, vectors: dict[str, Vectors]) -> Asked:
    return Asked(
        statement(example.question), vectors[example.question], vectors[_after_turn(example)]
    )


def _after_turn(example: Example) -> str:
    before = [turn.content for turn in example.history if turn.role == "user"][-1:]
    return " ".join([*before, example.question])
