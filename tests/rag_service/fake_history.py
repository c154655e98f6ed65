"""What was asked and said, held in memory: of one person, whose database never goes away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from uuid import UUID

from model_pipeline.domain import Answer
from model_pipeline.errors import NotFound
from model_pipeline.store.history import Conversation, KeptAnswer, Place
from rag_service.keep import Said


class FakeHistory:
    """Both the history and what keeps it. `away`: feedback waits for the database."""

    def __init__(self) -> None:
        self.titles: dict[UUID, Conversation] = {}
        self.kept: dict[UUID, list[KeptAnswer]] = {}
        self.away = False

    async def keep(
        self, question: str, answer: Answer, *, collection: str | None, conversation_id: UUID
    ) -> None:
        now = datetime.now(UTC)
        before = self.titles.get(conversation_id)
        self.titles[conversation_id] = (
            replace(before, updated_at=now)
            if before
            else Conversation(conversation_id, question, now, now)
        )
        citations = [
            {**asdict(one), "chunk_id": str(one.chunk_id), "document_id": str(one.document_id)}
            for one in answer.citations
        ]
        self.kept.setdefault(conversation_id, []).append(
            KeptAnswer(
                answer.answer_id, question, answer.answer, answer.declined, citations,
                answer.release_id, collection, answer.timings_ms, now, answer.bias, {},
            )
        )  # fmt: skip

    async def say(self, answer_id: UUID, said: Mapping[str, str | None]) -> Said:
        for answers in self.kept.values():
            for at, one in enumerate(answers):
                if one.answer_id == answer_id:
                    stands = {**one.feedback, **said}
                    feedback = {part: words for part, words in stands.items() if words}
                    answers[at] = replace(one, feedback=feedback)
                    return Said(not self.away, {} if self.away else feedback)
        raise NotFound(f"There is no answer {answer_id}.")

    async def settled(self) -> None: ...

    def conversations(
        self, *, limit: int, after: Place | None, only: UUID | None
    ) -> list[Conversation]:
        found = sorted(self.titles.values(), key=lambda one: one.updated_at, reverse=True)
        found = [one for one in found if only in (None, one.conversation_id)]
        return [one for one in found if not after or one.updated_at < after.updated_at][:limit]

    def answers(
        self, conversation_id: UUID, *, limit: int, after: UUID | None
    ) -> tuple[Conversation, list[KeptAnswer]]:
        if conversation_id not in self.titles:
            raise NotFound(f"There is no conversation {conversation_id}.")
        answers = self.kept[conversation_id]
        start = next((n + 1 for n, one in enumerate(answers) if one.answer_id == after), 0)
        return self.titles[conversation_id], answers[start : start + limit]

    def forget(self, conversation_id: UUID) -> None:
        self.answers(conversation_id, limit=1, after=None)
        del self.titles[conversation_id], self.kept[conversation_id]
