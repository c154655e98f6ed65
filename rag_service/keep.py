"""What is kept of an answer and what is said of it, for one caller: into the outbox, never in the
way of the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

import structlog

from model_pipeline.domain import Answer, Caller, Citation
from model_pipeline.errors import InvalidInput, NotFound, PromptlyError, Unauthorized
from model_pipeline.store.intake import Absent, Delayed, Refused, Stored
from rag_service.outbox import Outbox

log = structlog.get_logger()

# A line is written in a fraction of a millisecond; a disk that hangs is not waited for.
KEEP_LIMIT_S = 0.05
SAY_LIMIT_S = 2.0
SETTLE_LIMIT_S = 1.0
BIAS = ("level", "score", "sure", "flagged", "withheld")


@dataclass(frozen=True, slots=True)
class Said:
    """The feedback as it stands, where it is `stored`; where not, it will be."""

    stored: bool
    feedback: Mapping[str, Any]


class Keeper:
    """For `caller`; of who is not signed in where others are nothing is kept."""

    def __init__(self, outbox: Outbox, caller: Caller | None = None) -> None:
        self._outbox = outbox
        self._anonymous = caller is not None and caller.role == "anon"
        self._user_id = str(caller.claims["sub"]) if caller and not self._anonymous else None

    async def keep(
        self, question: str, answer: Answer, *, collection: str | None, conversation_id: UUID
    ) -> None:
        """Written before the answer leaves, so that it outlasts this process; raises nothing."""
        if self._anonymous:
            return
        kept = {
            "answer_id": str(answer.answer_id),
            "conversation_id": str(conversation_id),
            "question": storable(question),
            "answer": storable(answer.answer),
            "declined": answer.declined,
            "citations": [_citation(one) for one in answer.citations],
            "release_id": answer.release_id,
            "collection": collection,
            "timings_ms": {name: round(ms, 3) for name, ms in answer.timings_ms.items()},
        }
        if answer.bias is not None:
            kept["bias"] = {part: getattr(answer.bias, part) for part in BIAS}
            kept["verdict"] = answer.bias.verdict
        writing = asyncio.create_task(
            asyncio.to_thread(self._outbox.put, "answer", self._user_id, kept)
        )
        writing.add_done_callback(_log_failure)
        await asyncio.wait({writing}, timeout=KEEP_LIMIT_S)

    async def say(self, answer_id: UUID, said: Mapping[str, str | None]) -> Said:
        """What is not in `said` stays as it was, what is None goes. Raises Unauthorized, NotFound,
        Unavailable where it cannot even be kept."""
        if self._anonymous:
            raise Unauthorized("Feedback is taken from who is signed in: sign in.")
        about = {"answer_id": str(answer_id), "said": dict(said)}
        asked = await asyncio.to_thread(self._outbox.ask, "feedback", self._user_id, about)
        try:
            outcome = await asyncio.wait_for(asyncio.wrap_future(asked), SAY_LIMIT_S)
        except TimeoutError:
            outcome = Delayed("The database takes its time.")
        match outcome:
            case Stored(feedback):
                return Said(True, feedback)
            case Delayed():
                return Said(False, {})
            case Absent():
                raise NotFound(f"There is no answer {answer_id}.")
            case Refused(reason):
                raise InvalidInput(reason)

    async def settled(self) -> None:
        """Until what was kept before is where it can be read, or for a moment."""
        settled = asyncio.wrap_future(self._outbox.settled())
        await asyncio.wait({settled}, timeout=SETTLE_LIMIT_S)


def storable(text: str) -> str:
    """Without what Postgres has no form for: a model may write anything."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")


def _citation(citation: Citation) -> dict[str, Any]:
    ids = {"chunk_id": str(citation.chunk_id), "document_id": str(citation.document_id)}
    return {**asdict(citation), **ids}


def _log_failure(writing: asyncio.Task[None]) -> None:
    if writing.cancelled():
        return
    error = writing.exception()
    if isinstance(error, PromptlyError):
        log.error("answer_not_kept", reason=error.message)
    elif error is not None:
        log.error("answer_not_kept", exc_info=error)
