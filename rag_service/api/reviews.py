"""/v1/answers/{answer_id}/verdicts and .../reviews: what a judge said of an answer, and what people
say of that."""

from __future__ import annotations

import time

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from rag_service.api.feedback import AnswerId
from rag_service.api.replies import reply, since
from rag_service.api.review_schemas import (
    ReviewReply,
    ReviewRequest,
    VerdictList,
    from_review,
    from_verdict,
)
from rag_service.api.services import Services


def review_routes(services: Services) -> APIRouter:
    routes = APIRouter(tags=["bias"])

    @routes.get(
        "/v1/answers/{answer_id}/verdicts",
        response_model=VerdictList,
        summary="Show the verdicts on an answer",
    )
    async def show_verdicts(request: Request, answer_id: AnswerId) -> Response:
        """What judges of bias said of an answer that you got, the newest first, each with what you
        said of it."""
        started = time.perf_counter()
        mine = await services.acting_for(request)
        await mine.keeper.settled()
        found = await run_in_threadpool(mine.reviews.verdicts, answer_id)
        return reply(
            {
                "answer_id": str(answer_id),
                "verdicts": [from_verdict(one, said) for one, said in found],
                "timings_ms": since(started),
            }
        )

    @routes.post(
        "/v1/answers/{answer_id}/reviews",
        status_code=201,
        response_model=ReviewReply,
        summary="Contest or confirm a verdict",
    )
    async def review(request: Request, answer_id: AnswerId, body: ReviewRequest) -> Response:
        """The level that you would give, of an answer that you got; left out, the judge's. What you
        say last counts. It becomes a label that judges are validated by."""
        started = time.perf_counter()
        mine = await services.acting_for(request)
        await mine.keeper.settled()
        found = await run_in_threadpool(
            mine.reviews.review,
            answer_id,
            level=body.level,
            comment=body.comment,
            signature=body.signature,
        )
        return reply({**from_review(found), "timings_ms": since(started)}, status=201)

    return routes
