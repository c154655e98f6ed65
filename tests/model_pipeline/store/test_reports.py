"""Reports in a folder and in Supabase Storage: the same to whoever puts and gets them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import url2pathname

import httpx
import pytest

from model_pipeline.errors import Forbidden, InvalidInput, NotFound
from model_pipeline.store.reports import BUCKET, FolderReports, Reports, SupabaseReports
from model_pipeline.store.supabase_api import open_client
from promptly import bootstrap
from promptly.settings import Settings
from supabase import ClientOptions, create_client
from tests.servers.supabase_lite import SupabaseServer

Fetch = Callable[[str], bytes]
REPORT = "<h1>Zürich</h1>".encode()


class HostedSpelling(httpx.HTTPTransport):
    """Hosted Storage answers {"signedURL": path under /storage/v1}, which the client expects; the
    local server has another spelling."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        if request.method == "POST" and "/object/sign/" in request.url.path:
            response.read()
            if "signedUrl" in (given := response.json()):
                path = given["signedUrl"].removeprefix("/storage/v1")
                return httpx.Response(200, json={"signedURL": path})
        return response


@pytest.fixture(params=["folder", "storage"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Reports, Fetch]]:
    if request.param == "folder":
        yield FolderReports(tmp_path / "reports"), from_file
        return
    server: SupabaseServer = request.getfixturevalue("supabase_server")
    with httpx.Client(transport=HostedSpelling()) as connections:
        options = ClientOptions(httpx_client=connections)
        client = create_client(server.url, server.service_key, options)
        yield SupabaseReports(client), from_web
        client.storage.empty_bucket(BUCKET)
        client.storage.delete_bucket(BUCKET)


def from_file(url: str) -> bytes:
    return Path(url2pathname(url.removeprefix("file://"))).read_bytes()


def from_web(url: str) -> bytes:
    return httpx.get(url).raise_for_status().content


def test_a_report_is_put_replaced_listed_and_read_at_its_url(place: tuple[Reports, Fetch]) -> None:
    reports, fetch = place
    reports.put("evaluation-1.html", b"old")
    reports.put("evaluation-1.html", REPORT)
    reports.put("bias-1.json", json.dumps({"passed": True}).encode())
    reports.put("bias-1.md", b"# Bias")
    assert reports.names() == ["bias-1.json", "bias-1.md", "evaluation-1.html"]
    assert reports.get("evaluation-1.html") == REPORT
    for name in reports.names():
        assert fetch(reports.url(name, expires_s=60)) == reports.get(name)


def test_what_is_not_there_and_what_is_no_name(place: tuple[Reports, Fetch]) -> None:
    reports, _ = place
    reports.put("there.md", b"")
    for missing in (reports.get, lambda name: reports.url(name, expires_s=60)):
        with pytest.raises(NotFound):
            missing("absent.html")
    for name in ("../x.html", "a/b.md", "x.exe", ".html", "", "ü.md", "a" * 300 + ".md"):
        with pytest.raises(InvalidInput, match="cannot be a report's name"):
            reports.put(name, b"")


def test_more_reports_than_a_page_has(place: tuple[Reports, Fetch]) -> None:
    reports, _ = place
    for n in range(103):
        reports.put(f"r{n:03}.md", b"")
    assert reports.names() == [f"r{n:03}.md" for n in range(103)]


def test_a_signed_address_ends_and_the_bucket_is_private(supabase_server: SupabaseServer) -> None:
    with httpx.Client(transport=HostedSpelling()) as connections:
        options = ClientOptions(httpx_client=connections)
        service = SupabaseReports(
            create_client(supabase_server.url, supabase_server.service_key, options)
        )
        service.put("secret.md", b"secret")
        signed = service.url("secret.md", expires_s=60)
        assert httpx.get(signed).content == b"secret"
        assert httpx.get(service.url("secret.md", expires_s=-1)).is_error
        assert httpx.get(signed.replace("token=", "token=x")).is_error
        public = f"{supabase_server.url}/storage/v1/object/public/{BUCKET}/secret.md"
        assert httpx.get(public).is_client_error

        anonymous = SupabaseReports(
            create_client(supabase_server.url, supabase_server.anon_key, options)
        )
        assert anonymous.names() == []
        with pytest.raises(NotFound):
            anonymous.get("secret.md")
        with pytest.raises(Forbidden):
            anonymous.put("mine.md", b"")


def test_each_report_is_stored_as_what_it_is(supabase_server: SupabaseServer) -> None:
    with open_client(supabase_server.url, supabase_server.service_key) as client:
        reports = SupabaseReports(client)
        for name in ("a.html", "a.json", "a.md"):
            reports.put(name, b"{}")
        stored = client.storage.from_(BUCKET).list("")
    kinds = {one["name"]: one["metadata"]["mimetype"].split(";")[0] for one in stored}
    assert kinds["a.html"] == "text/html"
    assert kinds["a.json"] == "application/json"
    assert kinds["a.md"] == "text/markdown"


def test_where_reports_go_by_the_settings(tmp_path: Path) -> None:
    with bootstrap.reports(Settings(home=tmp_path, supabase_key="publishable")) as reports:
        reports.put("x.md", b"x")
    assert (tmp_path / "reports/x.md").read_bytes() == b"x"
    project = Settings(home=tmp_path, supabase_url="http://127.0.0.1:1", supabase_secret_key="key")
    with bootstrap.reports(project) as reports:
        assert isinstance(reports, SupabaseReports)
