"""What is asked and what came of it: examples, the frozen test set they make, and predictions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from model_pipeline.domain import Answer, Turn
from model_pipeline.errors import InvalidInput

MISSING = "There is no prediction for this example."


@dataclass(frozen=True, slots=True)
class Example:
    """One question, and what is known of its right answer.

    `references` are right answers, any of which will do. `relevant` grades the sources that hold
    the answer (0 is not relevant); None where that is not known. `answerable` is None where nobody
    has said. `tags` are what results are sliced by: topic, question_type, language.
    """

    example_id: str
    question: str
    references: tuple[str, ...] = ()
    relevant: Mapping[str, int] | None = None
    answerable: bool | None = None
    history: tuple[Turn, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    def to_row(self) -> dict[str, Any]:
        """A JSON object, without what is empty."""
        row = {
            "id": self.example_id,
            "question": self.question,
            "references": list(self.references),
            "relevant": None if self.relevant is None else dict(self.relevant),
            "answerable": self.answerable,
            "history": [{"role": turn.role, "content": turn.content} for turn in self.history],
            "tags": dict(self.tags),
        }
        return {key: value for key, value in row.items() if value not in (None, [], {})}


@dataclass(frozen=True, slots=True)
class TestSet:
    """Examples in their order, frozen: whatever changes one of them changes the hash."""

    __test__: ClassVar[bool] = False  # pytest goes by the name

    name: str
    examples: tuple[Example, ...]

    def __post_init__(self) -> None:
        if not self.examples:
            raise InvalidInput(f"The test set {self.name} is empty: give it one example at least.")
        seen: set[str] = set()
        for example in self.examples:
            if example.example_id in seen:
                raise InvalidInput(
                    f"The test set {self.name} has two examples with the id "
                    f"{example.example_id}: give each its own."
                )
            seen.add(example.example_id)

    def content_hash(self) -> str:
        """sha256 (hex) over the examples, whatever their order and the set's name."""
        digest = hashlib.sha256()
        for example in sorted(self.examples, key=lambda one: one.example_id):
            row = json.dumps(example.to_row(), sort_keys=True, ensure_ascii=True)
            digest.update(row.encode() + b"\n")
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Retrieved:
    """A passage as a prediction keeps it: enough to judge by, no more."""

    source: str
    content: str


@dataclass(frozen=True, slots=True)
class Quoted:
    """A citation as a prediction keeps it."""

    source: str
    quote: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a release answered to an example. `passages` come best first. `latency_ms` is None where
    nobody measured it. `error` says in one sentence why there is no answer."""

    example_id: str
    answer: str = ""
    declined: bool = False
    passages: tuple[Retrieved, ...] = ()
    citations: tuple[Quoted, ...] = ()
    latency_ms: float | None = None
    error: str | None = None

    @classmethod
    def from_answer(cls, example_id: str, answer: Answer) -> Prediction:
        return cls(
            example_id,
            answer=answer.answer,
            declined=answer.declined,
            passages=tuple(Retrieved(one.source, one.content) for one in answer.passages),
            citations=tuple(Quoted(one.source, one.quote) for one in answer.citations),
        )


@dataclass(frozen=True, slots=True)
class Pair:
    """An example with what was answered to it: what a metric sees."""

    example: Example
    prediction: Prediction


def paired(test_set: TestSet, predictions: Sequence[Prediction]) -> list[Pair]:
    """One pair an example, in the test set's order. An example without a prediction gets one that
    says so. Raises InvalidInput for two predictions of one id and for ids that nobody asked."""
    by_id: dict[str, Prediction] = {}
    for prediction in predictions:
        if prediction.example_id in by_id:
            raise InvalidInput(
                f"There are two predictions for the example {prediction.example_id}: keep one."
            )
        by_id[prediction.example_id] = prediction
    pairs = []
    for example in test_set.examples:
        given = by_id.pop(example.example_id, None)
        pairs.append(Pair(example, given or Prediction(example.example_id, error=MISSING)))
    if by_id:
        unknown = next(iter(by_id))
        raise InvalidInput(
            f"{len(by_id)} predictions are of examples that {test_set.name} does not have, "
            f"{unknown} among them: are they of another test set?"
        )
    return pairs
