"""The whole API over a real store with accounts: who gets what, at every endpoint."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import httpx
import jwt
import pytest

from model_pipeline.domain import Caller
from model_pipeline.errors import ConfigurationError
from promptly import accounts, serving
from promptly.settings import Settings
from rag_service.api.app import create_app

EVERYWHERE = "0.0.0.0"  # noqa: S104 - what must be refused
SECRET = "a secret of more than thirty-two bytes"
Ask = Callable[..., Awaitable[httpx.Response]]


def settings(home: Path, **given: object) -> Settings:
    return Settings(home=home, allowed_hosts=("testserver",), **given)  # type: ignore[arg-type]


def run(home: Path, conninfo: str, cache: Path, play: Callable[[Ask], Awaitable[None]]) -> None:
    """Plays people's requests against the application; `who` is a user's id, or None."""
    given = settings(home, supabase_jwt_secret=SECRET)
    home.mkdir(exist_ok=True)
    (home / "cache").symlink_to(cache)

    async def main() -> None:
        async with serving.services(given, conninfo) as services:
            transport = httpx.ASGITransport(create_app(services))
            async with httpx.AsyncClient(
                transport=transport, base_url="http://testserver"
            ) as client:

                async def ask(
                    who: object, method: str, path: str, **body: object
                ) -> httpx.Response:
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


def test_everybody_gets_their_own(database: str, tmp_path: Path, embedder_cache: Path) -> None:
    ada, bob = uuid4(), uuid4()

    async def play(ask: Ask) -> None:
        for who, text in ((ada, "Ada's kettle is blue."), (bob, "Bob's kettle is red.")):
            added = await ask(who, "POST", "/v1/documents", source="kettle.md", text=text)
            assert added.status_code == 200 and not added.json()["failed"], added.text
        for who, theirs, others in ((ada, "blue", "red"), (bob, "red", "blue")):
            found = (await ask(who, "POST", "/v1/search", query="kettle")).json()
            assert [theirs in one["content"] for one in found["passages"]] == [True]
            answer = (await ask(who, "POST", "/v1/answers", question="What is the kettle?")).text
            assert theirs in answer and others not in answer
            stream = await ask(
                who, "POST", "/v1/answers", question="What is the kettle?", stream=True
            )
            assert theirs in stream.text and others not in stream.text
            listed = (await ask(who, "GET", "/v1/documents")).json()["documents"]
            assert [one["source"] for one in listed] == ["kettle.md"]
            assert (await ask(who, "GET", "/v1/collections")).json()["collections"] == ["default"]

        document = (await ask(ada, "GET", "/v1/documents")).json()["documents"][0]["document_id"]
        nowhere = uuid4()
        for method in ("GET", "DELETE"):
            missing = await ask(bob, method, f"/v1/documents/{nowhere}")
            hidden = await ask(bob, method, f"/v1/documents/{document}")
            # What one may not see is not there, in the very same words.
            assert (hidden.status_code, missing.status_code) == (404, 404)
            assert (
                hidden.json()["detail"].replace(document, str(nowhere))
                == (missing.json()["detail"])
            )
        assert (await ask(ada, "DELETE", f"/v1/documents/{document}")).status_code == 204
        assert (await ask(ada, "POST", "/v1/search", query="kettle")).json()["passages"] == []
        assert (await ask(bob, "POST", "/v1/search", query="kettle")).json()["passages"]

    run(tmp_path / "home", database, embedder_cache, play)


def test_without_a_token(database: str, tmp_path: Path, embedder_cache: Path) -> None:
    async def play(ask: Ask) -> None:
        ada = uuid4()
        await ask(ada, "POST", "/v1/documents", source="kettle.md", text="A kettle.")
        assert (await ask(None, "POST", "/v1/search", query="kettle")).json()["passages"] == []
        assert (await ask(None, "GET", "/v1/documents")).json()["documents"] == []
        assert (await ask(None, "GET", "/v1/collections")).json()["collections"] == []
        refused = await ask(None, "POST", "/v1/documents", source="x.md", text="Mine.")
        assert refused.status_code == 403, refused.text
        assert (await ask(None, "GET", "/healthz")).status_code == 200
        assert (await ask(None, "GET", "/readyz")).status_code == 200

    run(tmp_path / "home", database, embedder_cache, play)


def test_a_bad_token_is_one_sentence_everywhere(
    database: str, tmp_path: Path, embedder_cache: Path
) -> None:
    async def play(ask: Ask) -> None:
        for method, path, body in (
            ("POST", "/v1/search", {"query": "x"}),
            ("POST", "/v1/answers", {"question": "x"}),
            ("POST", "/v1/answers", {"question": "x", "stream": True}),
            ("GET", "/v1/documents", {}),
            ("POST", "/v1/documents", {"source": "x", "text": "x"}),
            ("GET", f"/v1/documents/{uuid4()}", {}),
            ("DELETE", f"/v1/documents/{uuid4()}", {}),
            ("GET", "/v1/collections", {}),
        ):
            reply = await ask("not-a-user", method, path, **body)
            assert reply.status_code == 401, (method, path, reply.text)
            assert reply.headers["www-authenticate"] == "Bearer"
            assert reply.json()["detail"] == "The token names no user: sign in again."

    run(tmp_path / "home", database, embedder_cache, play)


def test_where_people_sign_in(tmp_path: Path) -> None:
    def found(url: str | None, key: str | None, **more: object) -> tuple[str, str] | None:
        return accounts.sign_in(settings(tmp_path, supabase_url=url, supabase_key=key, **more))

    project = "https://project.supabase.co"
    anon = jwt.encode({"role": "anon"}, SECRET)
    for key in ("sb_publishable_x", anon):
        assert found(project, key) == (project, key)
    assert found("http://127.0.0.1:54321", anon)
    assert found(project, None) is found(None, anon) is found(project, anon, accounts=False) is None
    for key in ("sb_secret_x", jwt.encode({"role": "service_role"}, SECRET)):
        with pytest.raises(ConfigurationError, match="SUPABASE_KEY is a secret key") as caught:
            found(project, key)
        assert key not in str(caught.value)
    for url in ("http://project.supabase.co", "project.supabase.co", "https://"):
        with pytest.raises(ConfigurationError, match="https address"):
            found(url, anon)


async def no_key(_token: str) -> Caller:
    raise AssertionError("no key is asked for")


def test_settings(tmp_path: Path) -> None:
    local = settings(tmp_path)
    assert not local.has_accounts
    local.require_private("127.0.0.1", "PROMPTLY_API_HOST")
    with pytest.raises(ConfigurationError, match=r"PROMPTLY_API_HOST is '0.0.0.0'"):
        local.require_private(EVERYWHERE, "PROMPTLY_API_HOST")
    shared = settings(tmp_path, supabase_url="https://project.supabase.co/")
    assert shared.has_accounts
    shared.require_private(EVERYWHERE, "PROMPTLY_API_HOST")
    access = accounts.token_access(shared, no_key)
    assert access.issuer == "https://project.supabase.co/auth/v1"
    assert access.secret is None and access.keys is not None
    assert not settings(tmp_path, supabase_jwt_secret=SECRET, accounts=False).has_accounts
    with pytest.raises(ConfigurationError, match="under 32 bytes"):
        accounts.token_access(settings(tmp_path, supabase_jwt_secret="short"), no_key)
