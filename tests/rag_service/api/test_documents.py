"""Documents over HTTP: added as text or files, listed by page, shown, deleted."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from rag_service.api.app import create_app
from rag_service.api.services import IngestReport, Upload


def detail(response: Any, status: int) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    sentence: str = response.json()["detail"]
    return sentence


def add(api: TestClient, source: str, text: str = "Text.", **more: Any) -> Any:
    return api.post("/v1/documents", json={"source": source, "text": text, **more})


def test_a_text_is_added_shown_and_deleted(api: TestClient) -> None:
    added = add(
        api, "a.md", "# A\n\nText 🐍.", title="An A", collection="notes", metadata={"year": 2026}
    )
    assert added.json()["new"] == 1
    assert added.json()["failures"] == []
    assert api.get("/v1/collections").json()["collections"] == ["notes"]
    [listed] = api.get("/v1/documents").json()["documents"]
    assert (listed["source"], listed["title"], listed["metadata"]) == (
        "a.md",
        "An A",
        {"year": 2026},
    )
    address = f"/v1/documents/{listed['document_id']}"
    shown = api.get(address).json()
    assert "".join(chunk["content"] for chunk in shown["chunks"]) == "# A\n\nText 🐍."
    assert shown["timings_ms"]["total"] >= 0
    deleted = api.delete(address)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert "no document" in detail(api.get(address), 404)
    assert "no document" in detail(api.delete(address), 404)


def test_several_files_at_once_and_one_that_fails(api: TestClient) -> None:
    files = [("files", (name, b"text")) for name in ("a.md", "b.exe", "c.md")]
    body = api.post("/v1/documents", files=files, data={"collection": "notes"}).json()
    assert (body["new"], body["failed"]) == (2, 1)
    assert body["failures"] == [{"source": "b.exe", "reason": "This kind of file is not read."}]


def test_pages_follow_each_other_to_the_end(api: TestClient) -> None:
    for number in range(5):
        add(api, f"{number}.md")
    add(api, "other.md", collection="elsewhere")
    seen, after, pages = [], None, 0
    while True:
        parameters = {"limit": 2, "collection": "default"} | ({"after": after} if after else {})
        page = api.get("/v1/documents", params=parameters).json()
        seen += [one["source"] for one in page["documents"]]
        after, pages = page["next"], pages + 1
        if after is None:
            break
    assert sorted(seen) == [f"{number}.md" for number in range(5)]
    assert pages == 3


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"text": "a"}, 422, "'source' is missing"),
        ({"source": "a.md", "text": ""}, 422, "'text' should have at least 1 character"),
        ({"source": "a.md", "text": "a", "body": 1}, 422, "There is no field 'body'"),
        ({"source": "a.md", "text": "a", "metadata": []}, 422, "'metadata' should be"),
        ({"source": "a.md", "text": "a", "collection": "c" * 201}, 422, "'collection' should have"),
        ({"source": "a.md", "text": "a" * 1_000_000}, 413, "over 1,000,000 bytes"),
    ],
)
def test_bad_texts(api: TestClient, body: dict[str, Any], status: int, said: str) -> None:
    assert said in detail(api.post("/v1/documents", json=body), status)


def test_bad_forms(api: TestClient) -> None:
    def post(**arguments: Any) -> Any:
        return api.post("/v1/documents", **arguments)

    assert "no files" in detail(post(files=[("file", ("a.md", b"a"))]), 400)
    assert "is a file" in detail(
        post(files=[("files", ("a.md", b"a")), ("collection", ("b.md", b"b"))]), 400
    )
    many = [("files", (f"{number}.md", b"a")) for number in range(51)]
    assert "Too many files" in detail(post(files=many), 400)
    assert "application/json" in detail(post(content=b"{}", headers={"Content-Type": "a/b"}), 415)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("limit=0", "'limit'"),
        ("limit=x", "'limit'"),
        ("after=x", "'after'"),
        ("limit=1001", "'limit'"),
    ],
)
def test_bad_pages(api: TestClient, query: str, said: str) -> None:
    assert said in detail(api.get(f"/v1/documents?{query}"), 422)


def test_a_collection_with_nul_or_broken_utf8_lists_nothing_and_fails_nothing(
    api: TestClient,
) -> None:
    assert "NUL" in detail(api.get("/v1/documents?collection=%00"), 400)
    assert api.get("/v1/documents?collection=%ff").json()["documents"] == []
    assert "document_id" in detail(api.get("/v1/documents/%ff"), 422)
    assert "document_id" in detail(api.get("/v1/documents/7"), 422)
    assert "no document" in detail(api.get(f"/v1/documents/{uuid4()}"), 404)


def test_uploads_past_the_line_are_told_to_come_back(new_services: Any) -> None:
    begun, release = threading.Event(), threading.Event()

    def ingest(uploads: Sequence[Upload], collection: str) -> IngestReport:
        begun.set()
        assert release.wait(10)
        return IngestReport(new=len(uploads))

    services = new_services(ingest=ingest, limits={"waiting_uploads": 1})
    statuses: list[int] = []
    with TestClient(create_app(services)) as api:
        first = threading.Thread(target=lambda: statuses.append(add(api, "a.md").status_code))
        first.start()
        assert begun.wait(10)
        refused = add(api, "b.md")
        release.set()
        first.join()
        assert "waiting" in detail(refused, 503)
        assert refused.headers["retry-after"] == "5"
        assert statuses == [200]
        assert add(api, "b.md").status_code == 200


def test_ingest_runs_one_at_a_time(new_services: Any) -> None:
    running = threading.Lock()
    overlaps: list[bool] = []

    def ingest(uploads: Sequence[Upload], collection: str) -> IngestReport:
        alone = running.acquire(blocking=False)
        overlaps.append(not alone)
        time.sleep(0.005)
        if alone:
            running.release()
        return IngestReport(new=len(uploads))

    with TestClient(create_app(new_services(ingest=ingest))) as api:
        threads = [threading.Thread(target=add, args=(api, f"{number}.md")) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert overlaps == [False] * 6
