"""An answer as it comes: server-sent events by the HTML standard, as far as the API uses them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rag_service.client.errors import from_problem
from rag_service.client.models import Answer, Citation, Passage


@dataclass(frozen=True, slots=True)
class PassagesEvent:
    passages: list[Passage]
    complete: bool


@dataclass(frozen=True, slots=True)
class DeltaEvent:
    text: str


@dataclass(frozen=True, slots=True)
class CitationsEvent:
    citations: list[Citation]


@dataclass(frozen=True, slots=True)
class DoneEvent:
    answer: Answer


AnswerEvent = PassagesEvent | DeltaEvent | CitationsEvent | DoneEvent


class EventReader:
    """Takes the pieces of a response as they arrive and gives the events that are whole."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> Iterator[AnswerEvent]:
        """Raises ServiceError for the event `error`, ValueError for what the API does not send."""
        # Lines end at a line feed alone: httpx's own lines end at U+2028 and others as well.
        *events, self._rest = (self._rest + piece).split(b"\n\n")
        for event in events:
            fields = dict(line.partition(b": ")[::2] for line in event.split(b"\n"))
            if b"data" in fields:
                found = _event(fields.get(b"event", b"").decode(), json.loads(fields[b"data"]))
                if found is not None:
                    yield found


def _event(name: str, data: dict[str, Any]) -> AnswerEvent | None:
    match name:
        case "passages":
            passages = [Passage.model_validate(one) for one in data["passages"]]
            return PassagesEvent(passages, data["complete"])
        case "delta":
            return DeltaEvent(data["text"])
        case "citations":
            return CitationsEvent([Citation.model_validate(one) for one in data["citations"]])
        case "done":
            return DoneEvent(Answer.model_validate(data))
        case "error":
            raise from_problem(data)
        case _:
            return None
