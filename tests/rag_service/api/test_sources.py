"""Sources and jobs over HTTP, with accounts and a real database: who may add, see and do what."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import jwt
import psycopg
import pytest
from starlette.testclient import TestClient

from promptly import serving
from promptly.settings import Settings
from rag_service.api.app import create_app
from rag_service.client import Client, ServiceError

SECRET = "a secret of more than thirty-two bytes"
WEB = {"kind": "web", "settings": {"sitemap": "https://example.org/sitemap.xml"}}
Ask = Callable[..., Awaitable[httpx.Response]]


def run(
    home: Path, conninfo: str, cache: Path, play: Callable[[Ask], Awaitable[None]], **given: Any
) -> None:
    """Plays requests against the whole application; `who` is a user's id, or None."""
    home.mkdir()
    (home / "cache").symlink_to(cache)
    settings = Settings(home=home, allowed_hosts=("testserver",), **given)

    async def main() -> None:
        async with serving.services(settings, conninfo) as services:
            transport = httpx.ASGITransport(create_app(services))
            async with httpx.AsyncClient(
                transport=transport, base_url="http://testserver"
            ) as client:

                async def ask(who: object, method: str, path: str, **body: Any) -> httpx.Response:
                    claims = {
                        "sub": str(who), "role": "authenticated", "aud": "authenticated",
                        "exp": time.time() + 60,
                    }  # fmt: skip
                    headers = {"Authorization": f"Bearer {jwt.encode(claims, SECRET)}"}
                    return await client.request(
                        method, path, headers=headers if who else {}, json=body or None
                    )

                await play(ask)

    asyncio.run(main())


def test_people_keep_their_own_collections_up_to_date(
    database: str, tmp_path: Path, embedder_cache: Path, embedder: object
) -> None:
    ada, bob = uuid4(), uuid4()

    async def play(ask: Ask) -> None:
        added = await ask(ada, "POST", "/v1/sources", **WEB, collection="n", refresh_every_s=3600)
        assert added.status_code == 201, added.text
        source = added.json()
        assert (source["trusted"], source["state"], source["name"]) == (
            False, "waiting", "https://example.org/sitemap.xml",
        )  # fmt: skip
        assert (await ask(ada, "POST", "/v1/sources", **WEB, collection="n")).status_code == 409
        files = {"kind": "files", "settings": {"paths": ["/etc"]}}
        refused = await ask(ada, "POST", "/v1/sources", **files)
        assert refused.status_code == 403 and "Only web pages" in refused.json()["detail"]
        listed = (await ask(ada, "GET", "/v1/sources")).json()["sources"]
        assert [one["source_id"] for one in listed] == [source["source_id"]]
        jobs = (await ask(ada, "GET", "/v1/jobs?collection=n")).json()
        assert jobs["counts"] == [
            {"collection": "n", "of": "sources", "waiting": 1, "running": 0, "dead": 0}
        ]
        [job] = jobs["jobs"]
        with psycopg.connect(database) as connection:
            connection.execute("update jobs set dead_at = now(), reason = 'It is away.'")
        [dead] = (await ask(ada, "GET", "/v1/jobs?state=dead")).json()["jobs"]
        assert (dead["job_id"], dead["reason"]) == (job["job_id"], "It is away.")

        paths = {
            f"/v1/sources/{source['source_id']}": "DELETE",
            f"/v1/sources/{source['source_id']}/refresh": "POST",
            f"/v1/jobs/{job['job_id']}/retry": "POST",
        }
        for path, method in paths.items():
            hidden = await ask(bob, method, path)
            assert hidden.status_code == 404, hidden.text
            assert (await ask(None, method, path)).status_code in (403, 404)
        for who in (bob, None):
            assert (await ask(who, "GET", "/v1/sources")).json()["sources"] == []
            assert (await ask(who, "GET", "/v1/jobs")).json()["counts"] == []
        assert (await ask(None, "POST", "/v1/sources", **WEB)).status_code == 403

        assert (await ask(ada, "POST", f"/v1/jobs/{job['job_id']}/retry")).status_code == 202
        assert (await ask(ada, "GET", "/v1/jobs?state=dead")).json()["jobs"] == []
        path = f"/v1/sources/{source['source_id']}"
        assert (await ask(ada, "POST", f"{path}/refresh")).status_code == 202
        removed = await ask(ada, "DELETE", path)
        assert (removed.status_code, removed.json()["documents"]) == (200, 0)
        assert (await ask(ada, "DELETE", path)).status_code == 404

    run(tmp_path / "home", database, embedder_cache, play, supabase_jwt_secret=SECRET)


def test_without_accounts_all_kinds_are_the_users_own(
    database: str, tmp_path: Path, embedder_cache: Path, embedder: object
) -> None:
    async def play(ask: Ask) -> None:
        for kind, settings in (
            ("files", {"paths": ["/srv/handbook"]}),
            ("bucket", {"bucket": "handbook"}),
            ("web", {"urls": ["http://127.0.0.1/wiki"]}),
        ):
            added = await ask(None, "POST", "/v1/sources", kind=kind, settings=settings)
            assert (added.status_code, added.json()["trusted"]) == (201, True)
        table = {"table": "public.nope", "id": "a", "content": "b"}
        refused = await ask(None, "POST", "/v1/sources", kind="table", settings=table)
        assert refused.status_code == 400
        assert refused.json()["detail"].startswith("There is no table public.nope: name it")
        odd = {"kind": "web", "settings": {"urls": ["https://x/\0"]}}
        assert (await ask(None, "POST", "/v1/sources", **odd)).status_code == 400

    run(tmp_path / "home", database, embedder_cache, play)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"kind": "web"}, "'settings' is missing"),
        ({"kind": "mail", "settings": {}}, "'kind' should be"),
        ({**WEB, "refresh_every_s": 5}, "'refresh_every_s' should be greater"),
        ({**WEB, "trusted": True}, "There is no field 'trusted'"),
        ({**WEB, "collection": "a\0b"}, "no NUL character"),
    ],
)
def test_bad_sources(api: TestClient, body: dict[str, Any], said: str) -> None:
    reply = api.post("/v1/sources", json=body)
    assert reply.status_code in (400, 422)
    assert said in reply.json()["detail"]


def test_pages_follow_each_other_to_the_end(new_services: Any, serve: Any) -> None:
    with serve(new_services()) as address, Client(address) as client:
        added = {
            client.add_source("web", {"urls": [f"https://x/{n}"]}, refresh_every_s=60).source_id
            for n in range(3)
        }
        first = client.sources(limit=2)
        rest = client.sources(after=first.next)
        assert {one.source_id for one in first.sources + rest.sources} == added
        assert rest.next is None
        for source in added:
            client.refresh_source(source)
            assert client.remove_source(source).documents == 2
        assert client.jobs(collection="default", state="dead").jobs == []
        with pytest.raises(ServiceError, match="There is no job 7") as caught:
            client.retry_job(7)
        assert caught.value.status == 404
