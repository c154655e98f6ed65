"""The shapes of /v1/history and /v1/feedback."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from model_pipeline.store.history import FEEDBACK, Conversation, KeptAnswer
from rag_service.api.schemas import (
    BiasModel,
    CitationModel,
    Identity,
    Strict,
    Timings,
    from_bias,
)

Time = Annotated[str, Field(description="ISO 8601, UTC.", examples=["2026-01-31T12:00:00.000000Z"])]
Rating = Literal["up", "down"]
Words = Annotated[str, Field(min_length=1, max_length=10_000, pattern=r"^[^\x00]*$")]
QUESTION = "When are default parameter values evaluated?"


class FeedbackModel(BaseModel):
    rating: Rating | None
    comment: str | None
    corrected_answer: str | None
    harm: str | None


class FeedbackRequest(Strict):
    model_config = ConfigDict(json_schema_extra={"minProperties": 2})

    answer_id: Identity
    rating: Annotated[Rating | None, Field(examples=["up"])] = None
    comment: Annotated[Words | None, Field(examples=["Short and right."])] = None
    corrected_answer: Annotated[
        Words | None, Field(description="What it should have said.", examples=[None])
    ] = None
    harm: Annotated[
        Words | None, Field(description="What is harmful about the answer.", examples=[None])
    ] = None


class FeedbackReply(BaseModel):
    answer_id: UUID
    stored: Annotated[
        bool, Field(description="False (202): kept, and stored when the database is back.")
    ]
    feedback: Annotated[
        FeedbackModel | None, Field(description="As it stands now, where it is stored.")
    ]
    timings_ms: Timings


class ConversationModel(BaseModel):
    conversation_id: UUID
    title: Annotated[str, Field(description="Its first question.", examples=[QUESTION])]
    created_at: Time
    updated_at: Time


class ConversationList(BaseModel):
    conversations: list[ConversationModel]
    next: Annotated[str | None, Field(description="Give it as `after` for the next page.")]
    timings_ms: Timings


class KeptAnswerModel(BaseModel):
    answer_id: UUID
    question: Annotated[str, Field(examples=[QUESTION])]
    answer: str
    declined: bool
    citations: list[CitationModel]
    release_id: str
    collection: str | None
    created_at: Time
    bias: Annotated[
        BiasModel | None,
        Field(description="Null where it was not judged before it was shown, or declined."),
    ]
    feedback: FeedbackModel | None
    timings_ms: Timings


class ConversationDetail(ConversationModel):
    answers: Annotated[list[KeptAnswerModel], Field(description="Oldest first.")]
    next: Annotated[UUID | None, Field(description="Give it as `after` for the next page.")]
    timings_ms: Timings


def from_conversation(one: Conversation) -> dict[str, Any]:
    return {
        "conversation_id": str(one.conversation_id),
        "title": one.title,
        "created_at": written(one.created_at),
        "updated_at": written(one.updated_at),
    }


def from_kept(one: KeptAnswer) -> dict[str, Any]:
    return {
        "answer_id": str(one.answer_id),
        "question": one.question,
        "answer": one.answer,
        "declined": one.declined,
        "citations": list(one.citations),
        "release_id": one.release_id,
        "collection": one.collection,
        "created_at": written(one.created_at),
        "bias": from_bias(one.bias),
        "feedback": from_feedback(one.feedback),
        "timings_ms": dict(one.timings_ms),
    }


def from_feedback(said: Any) -> dict[str, Any] | None:
    """All parts by name; None where nothing is said."""
    return {part: said.get(part) for part in FEEDBACK} if said else None


def written(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
