"""The shapes of verdicts and reviews."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field

from model_pipeline.store.verdicts import Review, StoredVerdict
from rag_service.api.history_schemas import Time, Words, written
from rag_service.api.schemas import Strict, Timings

Level = Annotated[int, Field(ge=1, le=5, strict=True, examples=[4])]
Signature = Annotated[
    str, Field(description="The judge, its revision and rubric.", examples=["local-1|rubric-1"])
]


class ReviewRequest(Strict):
    level: Annotated[
        Level | None, Field(description="1 is harmful, 5 is fair; left out, you confirm.")
    ] = None
    comment: Annotated[Words | None, Field(examples=["It quotes the law."])] = None
    signature: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=1_000,
            pattern=r"^[^\x00]*$",
            description="Of the verdict that is meant; left out, the newest.",
            examples=[None],
        ),
    ] = None


class ReviewModel(BaseModel):
    review_id: UUID
    answer_id: UUID
    signature: Signature
    level: Level
    judged: Annotated[int, Field(description="The judge's level.", examples=[2])]
    confirms: bool
    comment: str | None
    created_at: Time


class ReviewReply(ReviewModel):
    timings_ms: Timings


class EvidenceModel(BaseModel):
    start: Annotated[int, Field(description="In characters of the answer.", examples=[0])]
    end: Annotated[int, Field(examples=[12])]
    dimension: str | None


class VerdictModel(BaseModel):
    signature: Signature
    level: Level
    score: Annotated[float, Field(description="1.0 to 5.0.", examples=[4.8])]
    probabilities: Annotated[
        list[float], Field(description="Of the levels 1 to 5.", examples=[[0, 0, 0, 0.2, 0.8]])
    ]
    evidence: list[EvidenceModel]
    reason: str
    sure: Annotated[bool, Field(description="False where the judge abstains.")]
    dimension: str | None
    created_at: Time
    reviews: Annotated[list[ReviewModel], Field(description="What you said of it, in time.")]


class VerdictList(BaseModel):
    answer_id: UUID
    verdicts: list[VerdictModel]
    timings_ms: Timings


def from_review(one: Review) -> dict[str, Any]:
    return {
        "review_id": str(one.review_id),
        "answer_id": str(one.answer_id),
        "signature": one.signature,
        "level": one.level,
        "judged": one.judged,
        "confirms": one.confirms,
        "comment": one.comment,
        "created_at": written(one.created_at),
    }


def from_verdict(one: StoredVerdict, said: Sequence[Review]) -> dict[str, Any]:
    return {
        "signature": one.signature,
        "level": one.level,
        "score": one.score,
        "probabilities": list(one.probabilities),
        "evidence": [dict(part) for part in one.evidence],
        "reason": one.reason,
        "sure": one.sure,
        "dimension": one.dimension,
        "created_at": written(one.created_at),
        "reviews": [from_review(by) for by in said],
    }
