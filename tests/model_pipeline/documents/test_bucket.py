"""A bucket read by Supabase's own client from Supabase's own Storage."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import httpx
import pytest

from model_pipeline.documents import bucket
from model_pipeline.documents.bucket import Storage
from model_pipeline.documents.found import Failed, Found, ReadLimits
from model_pipeline.documents.sources import find
from model_pipeline.errors import ConfigurationError, UnreadableDocument
from supabase import Client, ClientOptions, create_client
from tests.servers.supabase_lite import SupabaseServer


@pytest.fixture
def client(supabase_server: SupabaseServer) -> Iterator[Client]:
    with httpx.Client() as connections:
        yield create_client(
            supabase_server.url,
            supabase_server.service_key,
            ClientOptions(httpx_client=connections),
        )


@pytest.fixture
def name(client: Client) -> str:
    name = f"handbook-{uuid4().hex[:8]}"
    client.storage.create_bucket(name)
    return name


@pytest.fixture
def storage(supabase_server: SupabaseServer) -> Storage:
    return Storage(supabase_server.url, supabase_server.service_key)


def found(storage: Storage | None, bytes: int = 1_000, **settings: Any) -> dict[str, bytes | str]:
    limits = ReadLimits(file_bytes=bytes)
    items = find(
        "bucket", settings, origin="source:1", limits=limits, trusted=True, storage=storage
    )
    return {item.source: _content(item) for item in items}


def _content(item: Found | Failed) -> bytes | str:
    assert item.origin == "source:1"
    return item.reason if isinstance(item, Failed) else item.read_bytes()


def test_files_of_folders_page_by_page(
    client: Client, name: str, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "LISTED_AT_ONCE", 2)  # pages as of a bucket of thousands
    put = client.storage.from_(name).upload
    paths = ["a.md", "b.md", "c.txt", "deep/er/d.md", "deep/e.md", "picture.png", "deep/.f.md"]
    for path in paths:
        put(path, f"Text of {path}.".encode())
    read = {f"{name}/{path}": f"Text of {path}.".encode() for path in paths[:5]}
    assert found(storage, bucket=name) == read
    deep = {source: text for source, text in read.items() if "/deep/" in source}
    assert len(deep) == 2
    assert found(storage, bucket=name, prefix="/deep/") == deep
    put("large.md", b"x" * 1_001)
    assert "larger than 1,000 bytes" in str(found(storage, bucket=name)[f"{name}/large.md"])
    client.storage.from_(name).remove(["a.md"])
    assert f"{name}/a.md" not in found(storage, bucket=name)


class Hosted(BaseHTTPRequestHandler):
    """Lists as hosted Supabase does: the last part of each path, and folders without an id."""

    paths = ("a.md", "deep/b.md", "deep/er/c.md", "deep/er/d.md")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        folder = asked["prefix"] + "/" if asked["prefix"] else ""
        within = [path.removeprefix(folder) for path in self.paths if path.startswith(folder)]
        names = sorted({name.split("/")[0]: "/" in name for name in within}.items())
        page = names[asked["offset"] :][: asked["limit"]]
        entries = [
            {"name": name, "id": None if deeper else "1", "metadata": None if deeper else {}}
            for name, deeper in page
        ]
        self.answer(json.dumps(entries).encode())

    def do_GET(self) -> None:
        self.answer(self.path.encode())

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


def test_folders_as_hosted_supabase_lists_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "LISTED_AT_ONCE", 1)
    with ThreadingHTTPServer(("127.0.0.1", 0), Hosted) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            storage = Storage(f"http://127.0.0.1:{server.server_port}", "sb_secret_test")
            assert found(storage, bucket="books") == {
                f"books/{path}": f"/storage/v1/object/books/{path}".encode()
                for path in Hosted.paths
            }
            assert len(found(storage, bucket="books", prefix="deep/er")) == 2
        finally:
            server.shutdown()
            thread.join()


def test_what_cannot_be_listed_fails_the_whole(client: Client, name: str, storage: Storage) -> None:
    client.storage.from_(name).upload("a.md", b"text")
    with pytest.raises(UnreadableDocument, match="nowhere"):
        found(storage, bucket="nowhere")
    with pytest.raises(UnreadableDocument, match=f"in the bucket {name} under deep: look"):
        found(storage, bucket=name, prefix="deep")
    with pytest.raises(UnreadableDocument, match=f"The bucket {name} cannot be listed: "):
        found(Storage("http://127.0.0.1:1", storage.key), bucket=name)
    with pytest.raises(UnreadableDocument, match=name):
        found(Storage(storage.url, "sb_secret_wrong"), bucket=name)
    with pytest.raises(ConfigurationError, match="SUPABASE_URL and SUPABASE_SECRET_KEY"):
        found(None, bucket=name)
