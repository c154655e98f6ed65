"""The service over stores and models held in memory, in process or behind a real server."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from uuid import UUID, uuid5

import numpy as np
import pytest
import uvicorn
import uvloop
from numpy.typing import NDArray
from starlette.testclient import TestClient

from model_pipeline.domain import (
    Claim,
    Collection,
    DocumentSummary,
    Draft,
    Passage,
    SearchMode,
    SearchResult,
    Turn,
    Wording,
)
from model_pipeline.errors import NotFound
from model_pipeline.store.filters import compile_filter
from model_pipeline.store.pg_store import StoredChunk
from rag_service.answer import Answerer
from rag_service.api.app import create_app
from rag_service.api.services import IngestReport, Limits, Services, Upload
from rag_service.retrieve import Retriever
from tests.rag_service.fake_history import FakeHistory
from tests.rag_service.fake_reviews import FakeReviews
from tests.rag_service.fake_sources import FakeSources

NAMESPACE = UUID(int=7)
# Separators that are lines to Python's splitlines, and none to server-sent events.
CONTENT = "Défaut values are evaluated once.\u2028The\x85rest\x0bfollows 🐍."
NewServices = Callable[..., Services]
Serve = Callable[[Services], AbstractContextManager[str]]


class FakeEmbedder:
    name = spec = "fake"
    dimensions = 8
    max_tokens = 64

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.ones((len(texts), self.dimensions), dtype=np.float32)
        return vectors / np.float32(np.sqrt(self.dimensions))

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]


class FakeStore:
    """Finds the same passages for every question; refuses the filters that the real one does."""

    async def search(
        self,
        *,
        text: str,
        vector: NDArray[np.float32] | None,
        k: int,
        mode: SearchMode,
        collection: str | None,
        filter: Mapping[str, Any] | None,
        embedder: str | None,
    ) -> SearchResult:
        text.encode()
        compile_filter(filter)
        if collection not in (None, "default"):
            raise NotFound(f"There is no collection {collection!r}.")
        passages = tuple(passage(number) for number in range(k))
        return SearchResult(passages, complete=True, timings_ms={"search": 1.5})


class QuotingGenerator:
    name = "quoting"

    def worded(self, wording: Wording) -> QuotingGenerator:
        return self

    async def generate(
        self, question: str, passages: Sequence[Passage], history: Sequence[Turn]
    ) -> AsyncGenerator[Draft]:
        yield Draft(CONTENT + " [1]", (Claim(1, 0, CONTENT),))
        yield Draft(f" Said before: {len(history)}. [2]", (Claim(2, 1, "never written"),))


class FakeDocuments:
    def __init__(self) -> None:
        self.stored: dict[UUID, tuple[DocumentSummary, str]] = {}

    def ingest(self, uploads: Sequence[Upload], collection: str) -> IngestReport:
        new, failures = 0, []
        for upload in uploads:
            if upload.name.endswith(".exe"):
                failures.append((upload.name, "This kind of file is not read."))
                continue
            document_id = uuid5(NAMESPACE, f"{collection}/{upload.name}")
            digest = hashlib.sha256(upload.content).hexdigest()
            title = upload.title or upload.name
            summary = DocumentSummary(
                document_id, collection, upload.name, title, upload.metadata, 1, digest, "2026"
            )
            new += document_id not in self.stored
            self.stored[document_id] = (summary, upload.content.decode())
        return IngestReport(new, len(uploads) - new - len(failures), 0, tuple(failures))

    def list_documents(
        self, *, collection: str | None, limit: int, after: UUID | None
    ) -> list[DocumentSummary]:
        found = [
            summary
            for key, (summary, _) in sorted(self.stored.items())
            if collection in (None, summary.collection) and (after is None or key > after)
        ]
        return found[:limit]

    def get_document(self, document_id: UUID) -> tuple[DocumentSummary, list[StoredChunk]]:
        if document_id not in self.stored:
            raise NotFound(f"There is no document {document_id}.")
        summary, text = self.stored[document_id]
        return summary, [StoredChunk(uuid5(document_id, "0"), 0, 0, ("Part",), text)]

    def delete_document(self, document_id: UUID) -> None:
        self.get_document(document_id)
        del self.stored[document_id]

    def visible(self) -> list[Collection]:
        """A collection is there as long as it has documents: as in a store of one's own."""
        names = sorted({summary.collection for summary, _ in self.stored.values()})
        return [Collection(uuid5(NAMESPACE, one), one, "private", "owner") for one in names]


async def is_ready() -> None:
    """A database that always answers."""


def passage(number: int) -> Passage:
    return Passage(
        chunk_id=uuid5(NAMESPACE, f"chunk {number}"),
        document_id=uuid5(NAMESPACE, f"document {number}"),
        source=f"{number}.md",
        title="Functions",
        heading_path=("Functions", "Defaults"),
        content=CONTENT,
        metadata={"lang": "en", "year": 2026},
        start=10,
        score=1 / (number + 1),
        dense_score=0.5,
        lexical_score=None,
    )


@pytest.fixture
def new_services() -> Iterator[NewServices]:
    """Services over memory; any of them can be given."""
    with ThreadPoolExecutor(2) as executor:

        def make(**given: Any) -> Services:
            retriever = Retriever(FakeEmbedder(), FakeStore(), executor)
            documents, history = FakeDocuments(), FakeHistory()
            services: dict[str, Any] = {
                "retriever": retriever,
                "answerer": Answerer(
                    retriever, given.pop("generator", QuotingGenerator()), "release"
                ),
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
                "limits": Limits(
                    allowed_hosts=("testserver", "127.0.0.1"), **given.pop("limits", {})
                ),
            }
            return Services(**(services | given))

        yield make


@pytest.fixture
def api(new_services: NewServices) -> Iterator[TestClient]:
    """The API in process; an exception that leaves it fails the test."""
    with TestClient(create_app(new_services())) as client:
        yield client


@pytest.fixture
def serve() -> Serve:
    """A real server on a free port, on the event loop that the service runs on; gives its
    address."""

    @contextmanager
    def run(services: Services) -> Iterator[str]:
        config = uvicorn.Config(
            create_app(services), host="127.0.0.1", port=0, log_level="critical", ws="none"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: uvloop.run(server.serve()))
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the server did not start"
                time.sleep(0.005)
            port = server.servers[0].sockets[0].getsockname()[1]
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join()

    return run
