"""Requests to an API that fails, run as a process: prints its log and then its spans, as JSON."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import structlog
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from model_pipeline.domain import Caller, Draft, Passage, Turn
from promptly import logs
from rag_service.answer import Answerer
from rag_service.api.app import create_app
from rag_service.api.services import Limits, Services
from rag_service.retrieve import Retriever
from tests.rag_service.conftest import (
    FakeDocuments,
    FakeEmbedder,
    FakeStore,
    is_ready,
)
from tests.rag_service.fake_history import FakeHistory
from tests.rag_service.fake_reviews import FakeReviews
from tests.rag_service.fake_sources import FakeSources

SECRET = "quincunx"
USER = "8d5b2a4e-0000-4000-8000-000000000001"


class Failing:
    """Logs by itself, as a library would, and fails; what it says quotes the question."""

    name = "failing"

    async def generate(
        self, question: str, passages: Sequence[Passage], history: Sequence[Turn]
    ) -> AsyncGenerator[Draft]:
        structlog.get_logger().warning("model_slow")
        logging.getLogger("library").error("it fails", exc_info=ValueError(question))
        asyncio.get_running_loop().call_soon(fail, question)
        await asyncio.sleep(0)
        yield Draft("")
        fail(question)


def fail(text: str) -> None:
    raise ValueError(f"cannot take {text!r}")


async def ask(services: Services) -> None:
    asyncio.get_running_loop().set_exception_handler(logs.event_loop_failed)
    transport = httpx.ASGITransport(create_app(services), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        for stream in (False, True):
            body = {"question": f"Who is {SECRET}?", "stream": stream}
            given = {"authorization": "Bearer x", "x-request-id": f"asked-{stream}"}
            reply = await client.post("/v1/answers", json=body, headers=given)
            assert SECRET not in reply.text and "failed on this request" in reply.text
        await client.get("/v1/documents/none")


async def somebody(_authorization: str | None) -> Caller:
    return Caller("authenticated", {"sub": USER})


def services(executor: ThreadPoolExecutor) -> Services:
    retriever = Retriever(FakeEmbedder(), FakeStore(), executor)
    documents: Any = FakeDocuments()
    history: Any = FakeHistory()
    given: dict[str, Any] = {
        "retriever": retriever,
        "answerer": Answerer(retriever, Failing(), "release"),
        "documents": documents,
        "collections": documents,
        "sources": FakeSources(),
        "ingest": documents.ingest,
        "embedder": FakeEmbedder,
        "executor": executor,
        "history": history,
        "keeper": history,
        "reviews": FakeReviews(history),
        "ready": is_ready,
        "limits": Limits(allowed_hosts=("testserver",)),
        "authenticate": somebody,
    }
    bound: Callable[[Caller | None], Services] = lambda _: Services(**given)  # noqa: E731
    return Services(**given, bound_to=bound)


def main() -> None:
    output, spans = io.StringIO(), InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(provider)
    logs.configure("info", output)
    with ThreadPoolExecutor(1) as executor:
        asyncio.run(ask(services(executor)))
    sent = [json.loads(one.to_json()) for one in spans.get_finished_spans()]
    sys.stdout.write(json.dumps({"log": output.getvalue().splitlines(), "spans": sent}))


if __name__ == "__main__":
    main()
