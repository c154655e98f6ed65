"""Verdicts and reviews held in memory: every answer of the history is judged to be of level 4."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

from model_pipeline.errors import NotFound
from model_pipeline.store.verdicts import Review, StoredVerdict
from tests.rag_service.fake_history import FakeHistory

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
SIGNATURE = "local-1"


class FakeReviews:
    def __init__(self, history: FakeHistory) -> None:
        self._history = history
        self.said: list[Review] = []

    def verdicts(self, answer_id: UUID) -> list[tuple[StoredVerdict, list[Review]]]:
        if all(one.answer_id != answer_id for kept in self._history.kept.values() for one in kept):
            raise NotFound(f"There is no verdict on an answer {answer_id}.")
        verdict = StoredVerdict(
            answer_id, SIGNATURE, 4, 4.1, (0.0, 0.0, 0.1, 0.7, 0.2),
            [{"start": 0, "end": 3, "dimension": None}], "A word leans.", True, None, NOW,
        )  # fmt: skip
        return [(verdict, [one for one in self.said if one.answer_id == answer_id])]

    def review(
        self, answer_id: UUID, *, level: int | None, comment: str | None, signature: str | None
    ) -> Review:
        self.verdicts(answer_id)
        if signature not in (None, SIGNATURE):
            raise NotFound(f"There is no verdict on an answer {answer_id}.")
        one = Review(uuid4(), answer_id, SIGNATURE, None, level or 4, 4, comment, NOW)
        self.said.append(one)
        return one
