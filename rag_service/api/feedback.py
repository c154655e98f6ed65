"""/v1/feedback: what one says of an answer that one got."""

from __future__ import annotations

import time
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from model_pipeline.errors import InvalidInput
from model_pipeline.store.history import FEEDBACK
from rag_service.api.history_schemas import FeedbackReply, FeedbackRequest, from_feedback
from rag_service.api.replies import reply, since
from rag_service.api.services import Services

KEPT: dict[int | str, dict[str, Any]] = {
    202: {"model": FeedbackReply, "description": "Kept, until the database is back."}
}
AnswerId = Annotated[
    UUID,
    Path(
        description="As the answer came with it.",
        examples=["0191b7a2-6c1e-5f3a-9d42-3b5f0e8c7a14"],
    ),
]


def feedback_routes(services: Services) -> APIRouter:
    routes = APIRouter(tags=["feedback"])

    @routes.post(
        "/v1/feedback", response_model=FeedbackReply, responses=KEPT, summary="Rate an answer"
    )
    async def give_feedback(body: FeedbackRequest, request: Request) -> Response:
        """A rating, a comment, what it should have said, or what is harmful about it. What is sent
        changes, what is null goes, what is left out stays. For who got the answer."""
        started = time.perf_counter()
        mine = await services.acting_for(request)
        said = {part: getattr(body, part) for part in FEEDBACK if part in body.model_fields_set}
        if not said:
            raise InvalidInput(f"Nothing is said: send one of {', '.join(FEEDBACK)}.")
        done = await mine.keeper.say(body.answer_id, said)
        return reply(
            {
                "answer_id": str(body.answer_id),
                "stored": done.stored,
                "feedback": from_feedback(done.feedback),
                "timings_ms": since(started),
            },
            status=200 if done.stored else 202,
        )

    @routes.delete(
        "/v1/feedback/{answer_id}",
        status_code=204,
        responses={202: {"description": "Kept, until the database is back."}},
        summary="Take feedback back",
    )
    async def remove_feedback(answer_id: AnswerId, request: Request) -> Response:
        """All that you said of the answer; 202 where that waits for the database."""
        mine = await services.acting_for(request)
        done = await mine.keeper.say(answer_id, dict.fromkeys(FEEDBACK))
        return Response(status_code=204 if done.stored else 202)

    return routes
