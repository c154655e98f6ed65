"""The real HTTP API over scripted parts, for the UI to talk to."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4, uuid5

import httpx
import pytest
import uvicorn

from model_pipeline.domain import (
    Answer,
    Bias,
    Citation,
    Collection,
    DocumentSummary,
    Passage,
    SearchMode,
    SearchResult,
    Span,
    Turn,
)
from model_pipeline.errors import InvalidInput, NotFound
from model_pipeline.store.pg_store import StoredChunk
from rag_service.answer import CitationsVerified, Delta, Done, Event, PassagesFound
from rag_service.api.app import create_app
from rag_service.api.services import IngestReport, Services, Upload
from rag_service.ui import service
from rag_service.ui.launch import command
from tests.rag_service.conftest import FakeEmbedder
from tests.rag_service.fake_history import FakeHistory
from tests.rag_service.fake_reviews import FakeReviews
from tests.rag_service.fake_sources import FakeSources
from tests.servers.ports import free_port

SPACE = UUID("00000000-0000-0000-0000-000000000001")
HOSTILE = (
    "<script>window.hacked = 1</script> ![x](http://evil.example/a.png) [x](javascript:alert(1)) "
    '<img src=x onerror="window.hacked = 2"> $x^2$ :red[loud] **bold** rows[1]'
)

TEXTS = {
    "with": "Intro.\n\nThe with statement wraps the execution of a block.\n\nMore of it.",
    "hostile": f"Before. {HOSTILE} After.",
    "naming": "Names refer to objects. " * 40 + "A scope defines visibility. " + "Later. " * 400,
}
# What the scripted generator quotes for a question that holds the word.
QUOTES = {
    "with": "The with statement wraps the execution of a block.",
    "hostile": HOSTILE,
    "naming": "A scope defines visibility.",
}


@dataclass
class World:
    """A tiny store and generator: a question that names a document gets its quote back."""

    documents: dict[str, DocumentSummary] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    uploads: list[tuple[str, str]] = field(default_factory=list)
    delta_delay_s: float = 0.0
    updates: FakeSources = field(default_factory=FakeSources)
    history: FakeHistory = field(default_factory=FakeHistory)

    def put(self, name: str, text: str, *, collection: str = "python") -> None:
        self.texts[name] = text
        self.documents[name] = DocumentSummary(
            document_id=uuid5(SPACE, name),
            collection=collection,
            source=f"docs/{name}",
            title=f"The {name} page",
            metadata={"lang": "en", "year": 2024},
            chunk_count=1,
            content_hash="x",
            updated_at="2026-01-01T00:00:00Z",
        )

    def passage(self, name: str) -> Passage:
        one = self.documents[name]
        return Passage(
            chunk_id=uuid5(SPACE, f"{name}-chunk"),
            document_id=one.document_id,
            source=one.source,
            title=one.title,
            heading_path=(one.title, "Details"),
            content=self.texts[name],
            metadata=one.metadata,
            start=0,
            score=1.0,
        )

    async def retrieve(
        self,
        query: str,
        *,
        k: int,
        mode: SearchMode,
        collection: str | None,
        filter: Mapping[str, Any] | None,
        diversity: float | None,
    ) -> SearchResult:
        raise AssertionError("the UI asks for answers only")

    async def answer(
        self,
        question: str,
        *,
        k: int,
        collection: str | None,
        filter: Mapping[str, Any] | None,
        history: Sequence[Turn],
    ) -> Answer:
        raise AssertionError("the UI asks for streams only")

    async def stream(
        self,
        question: str,
        *,
        k: int,
        collection: str | None,
        filter: Mapping[str, Any] | None,
        history: Sequence[Turn],
    ) -> AsyncIterator[Event]:
        self.asked.append(
            {"question": question, "k": k, "collection": collection, "filter": filter}
            | {"history": [(turn.role, turn.content) for turn in history]}
        )
        if "refuse" in question:
            raise InvalidInput("The filter names no <b>field</b>: name one.")
        passages = tuple(self.passage(name) for name in self.documents)
        yield PassagesFound(passages, True)
        if "break" in question:
            yield Delta("A beginning")
            raise InvalidInput("It broke in the middle.")
        names = [name for name in self.documents if name in question]
        citations = tuple(self._cite(n, name) for n, name in enumerate(names, start=1))
        text = " ".join(f"{one.quote} [{one.n}]" for one in citations)
        for word in text.split(" "):
            await asyncio.sleep(self.delta_delay_s)
            yield Delta(f"{word} ")
        yield CitationsVerified(citations)
        yield Done(
            Answer(
                answer_id=uuid4(),
                answer=text or "This is not in the documents.",
                declined=not names,
                citations=citations,
                passages=passages,
                release_id="scripted",
                unsupported=(Span(0, 10),) if "flagged" in question else (),
                fallback="The <b>model</b> is away." if "fallback" in question else None,
                bias=Bias(2, 2.0, True, True, False) if "biased" in question else None,
                timings_ms={"embed": 1.0, "search": 4.2, "total": 84.0},
            )
        )

    def _cite(self, n: int, name: str) -> Citation:
        passage, quote = self.passage(name), QUOTES[name]
        start = passage.content.index(quote)
        return Citation(
            n=n,
            quote=quote,
            chunk_id=passage.chunk_id,
            document_id=passage.document_id,
            source=passage.source,
            title=passage.title,
            heading_path=passage.heading_path,
            start=start,
            end=start + len(quote),
        )

    def list_documents(
        self, *, collection: str | None, limit: int, after: UUID | None
    ) -> list[DocumentSummary]:
        found = [one for one in self.documents.values() if collection in (None, one.collection)]
        return found[:limit]

    def get_document(self, document_id: UUID) -> tuple[DocumentSummary, list[StoredChunk]]:
        name = self._named(document_id)
        passage = self.passage(name)
        chunks = [("The text before. ", uuid4()), (passage.content, passage.chunk_id)]
        chunks.append(("The text after.", uuid4()))
        start, stored = -len(chunks[0][0]), []
        for ordinal, (content, chunk_id) in enumerate(chunks):
            stored.append(StoredChunk(chunk_id, ordinal, start, passage.heading_path, content))
            start += len(content)
        return self.documents[name], stored

    def delete_document(self, document_id: UUID) -> None:
        name = self._named(document_id)
        del self.documents[name], self.texts[name]

    def _named(self, document_id: UUID) -> str:
        for name, one in self.documents.items():
            if one.document_id == document_id:
                return name
        raise NotFound("No such document.")

    def visible(self) -> list[Collection]:
        names = sorted({one.collection for one in self.documents.values()})
        return [Collection(uuid5(SPACE, one), one, "private", "owner") for one in names]

    def ingest(self, uploads: Sequence[Upload], collection: str) -> IngestReport:
        (upload,) = uploads
        self.uploads.append((upload.name, collection))
        if upload.name.startswith("broken"):
            return IngestReport(failures=((upload.name, "It is cut off: send it again."),))
        self.put(upload.name.split(".")[0], upload.content.decode(), collection=collection)
        return IngestReport(new=1)

    async def ready(self) -> None: ...


@contextmanager
def serving(world: World, *, port: int | None = None) -> Iterator[str]:
    """The API over `world`, on a port of its own."""
    executor = ThreadPoolExecutor(1)  # never asked: no thread is started
    kept = world.history
    services = Services(
        world,
        world,
        world,
        world,
        world.updates,
        world.ingest,
        FakeEmbedder,
        executor,
        kept,
        kept,
        FakeReviews(kept),
        world.ready,
    )
    port = port or free_port()
    config = uvicorn.Config(create_app(services), port=port, log_level="error", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the API did not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="session")
def new_world() -> Callable[[], World]:
    def make() -> World:
        found = World()
        for name, text in TEXTS.items():
            found.put(name, text)
        return found

    return make


@pytest.fixture
def world(new_world: Callable[[], World]) -> World:
    return new_world()


@pytest.fixture
def api(world: World) -> Iterator[str]:
    service.forget()
    with serving(world) as address:
        yield address


@pytest.fixture
def unused_address() -> str:
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture(scope="session")
def serve() -> Callable[..., AbstractContextManager[str]]:
    return serving


@contextmanager
def started(arguments: list[str], health: str, **options: Any) -> Iterator[None]:
    """A process, as soon as it answers at `health`; `options` are Popen's."""
    process = subprocess.Popen(arguments, **options)
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                if httpx.get(health, trust_env=False).is_success:
                    break
            except httpx.HTTPError:
                pass
            assert process.poll() is None, "it stopped by itself"
            assert time.monotonic() < deadline, "it did not start in two minutes"
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def _page(api_url: str, *, sign_in: tuple[str, str] | None = None, **options: Any) -> Iterator[str]:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    arguments = command(api_url, port, sign_in=sign_in)
    with started(arguments, f"{address}/_stcore/health", **options):
        yield address


@contextmanager
def _api(database: str, home: Path, **environment: str) -> Iterator[str]:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    given = {"PROMPTLY_DATABASE_URL": database, "PROMPTLY_HOME": str(home), **environment}
    arguments = [sys.executable, "-m", "promptly", "api", "--port", str(port)]
    with started(arguments, f"{address}/readyz", env=os.environ | given):
        yield address


@pytest.fixture(scope="session")
def promptly_api() -> Callable[..., AbstractContextManager[str]]:
    """The whole service, over a database, with a home of its own."""
    return _api


@pytest.fixture(scope="session")
def ui() -> Callable[..., AbstractContextManager[str]]:
    """Serves the UI over the API at the given address."""
    return _page
