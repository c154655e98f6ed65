"""Service keys: made by the command line, checked by the API, gone when revoked."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from model_pipeline.errors import InvalidInput, NotFound, PromptlyError
from model_pipeline.store.connect import connection_arguments, open_pool
from model_pipeline.store.dump import dump, restore
from model_pipeline.store.keys import EXPIRED, NOT_VALID, REVOKED, PgKeys
from model_pipeline.store.pg_store import PgStore
from promptly import serving
from promptly.settings import Settings
from rag_service.api.app import create_app
from tests.promptly.commands import promptly

Ask = Callable[..., Awaitable[httpx.Response]]
DAY = timedelta(days=1)


@pytest.fixture
def keys(database: str) -> Iterator[PgKeys]:
    """Of a database with the collections `handbook` and `faq`."""
    with open_pool(database, min_size=1, max_size=1) as pool:
        for name in ("handbook", "faq"):
            PgStore(pool).ensure_collection(name)
        yield PgKeys(pool)


def execute(database: str, statement: str, *arguments: object) -> list[Any]:
    with psycopg.connect(database, autocommit=True, options="-c search_path=public") as connection:
        cursor = connection.execute(statement.encode(), arguments)
        return cursor.fetchall() if cursor.description else []


def with_the_api(
    home: Path, conninfo: str, cache: Path, play: Callable[[Ask], Awaitable[None]]
) -> None:
    """Plays requests against a service that takes keys alone; `token` is a key's, or None."""
    home.mkdir()
    (home / "cache").symlink_to(cache)
    settings = Settings(home=home, allowed_hosts=("testserver",), accounts=True)

    async def main() -> None:
        async with serving.services(settings, conninfo) as services:
            transport = httpx.ASGITransport(create_app(services))
            async with httpx.AsyncClient(
                transport=transport, base_url="http://testserver"
            ) as client:

                async def ask(
                    token: str | None, method: str, path: str, **body: object
                ) -> httpx.Response:
                    headers = {"Authorization": f"Bearer {token}"} if token else {}
                    return await client.request(method, path, headers=headers, json=body or None)

                await play(ask)

    asyncio.run(main())


def test_a_machine_does_what_its_key_says(
    keys: PgKeys, database: str, tmp_path: Path, embedder_cache: Path
) -> None:
    editor, editing = keys.create("nightly", {"handbook": "editor"}, lifetime=DAY)
    _, reading = keys.create("dashboard", {"handbook": "reader"}, lifetime=DAY)
    _, elsewhere = keys.create("other", {"faq": "editor"}, lifetime=DAY)

    async def play(ask: Ask) -> None:
        text = {"source": "kettle.md", "text": "The kettle is blue.", "collection": "handbook"}
        assert (await ask(reading, "POST", "/v1/documents", **text)).status_code == 403
        assert (await ask(elsewhere, "POST", "/v1/documents", **text)).status_code == 403
        assert (await ask(editing, "POST", "/v1/documents", **text)).json()["new"] == 1
        for token, found in ((reading, 1), (editing, 1), (elsewhere, 0), (None, 0)):
            reply = await ask(token, "POST", "/v1/search", query="kettle")
            assert len(reply.json()["passages"]) == found
        [listed] = (await ask(reading, "GET", "/v1/collections")).json()["details"]
        assert (listed["name"], listed["role"]) == ("handbook", "reader")

        # What it made would be nobody's: in either way.
        for path, body in (
            ("/v1/collections", {"name": "its own"}),
            ("/v1/documents", {**text, "collection": "its own"}),
        ):
            assert (await ask(editing, "POST", path, **body)).status_code == 403
        assert execute(database, "select count(*) from collections") == [(2,)]

        nobody = await ask("a.b.c", "GET", "/v1/collections")
        assert nobody.status_code == 401 and "Nobody signs in here" in nobody.text

        await asyncio.to_thread(keys.revoke, editor.key_id)
        gone = await ask(editing, "GET", "/v1/collections")
        assert (gone.status_code, gone.json()["detail"]) == (401, REVOKED)

    with_the_api(tmp_path / "home", database, embedder_cache, play)
    assert execute(database, "select count(*) from members where user_id = %s", editor.key_id) == [
        (0,)
    ]


def test_only_the_right_secret_is_told_what_became_of_a_key(
    keys: PgKeys, database: str, tmp_path: Path, embedder_cache: Path
) -> None:
    made = {
        name: keys.create(name, {"handbook": "reader"}, lifetime=DAY)
        for name in ("active", "expired", "revoked")
    }
    keys.revoke(made["revoked"][0].key_id)
    execute(
        database,
        "update service_keys set expires_at = now() where key_id = %s",
        made["expired"][0].key_id,
    )
    other = "0" * 64
    unknown = f"promptly_{uuid4().hex}_{other}"

    async def play(ask: Ask) -> None:
        replies = {
            made["expired"][1]: EXPIRED,
            made["revoked"][1]: REVOKED,
            unknown: NOT_VALID,
            f"promptly_{uuid4()}_{other}": NOT_VALID,
            "promptly_": NOT_VALID,
            made["active"][1] + "0": NOT_VALID,
            made["active"][1][:-1]: NOT_VALID,
            # Another key's secret opens nothing.
            made["active"][1][:41] + made["revoked"][1][41:]: NOT_VALID,
        } | {f"promptly_{key.key_id.hex}_{other}": NOT_VALID for key, _ in made.values()}
        assert (await ask(made["active"][1], "GET", "/v1/collections")).status_code == 200
        for token, sentence in replies.items():
            reply = await ask(token, "GET", "/v1/collections")
            assert (reply.status_code, reply.json()["detail"]) == (401, sentence), token
            assert reply.headers["www-authenticate"] == "Bearer"

    with_the_api(tmp_path / "home", database, embedder_cache, play)
    used = dict(execute(database, "select name, last_used_at from service_keys"))
    assert used["active"] and not used["expired"] and not used["revoked"]


def test_last_used_is_noted_once_a_minute(
    keys: PgKeys, database: str, tmp_path: Path, embedder_cache: Path
) -> None:
    _, token = keys.create("nightly", {"handbook": "reader"}, lifetime=DAY)

    async def play(ask: Ask) -> None:
        async def noted(seconds_ago: int) -> bool:
            """Whether a request now changes a time that is so old."""
            old = execute(
                database,
                "update service_keys set last_used_at = now() - make_interval(secs => %s) "
                "returning last_used_at",
                seconds_ago,
            )
            assert (await ask(token, "GET", "/v1/collections")).status_code == 200
            return execute(database, "select last_used_at from service_keys") != old

        assert not await noted(50)
        assert await noted(61)

    with_the_api(tmp_path / "home", database, embedder_cache, play)


def test_of_a_secret_only_its_hash_is_kept(keys: PgKeys, database: str) -> None:
    made, token = keys.create("nightly", {"handbook": "reader"}, lifetime=DAY)
    secret = token.rsplit("_", 1)[1]
    [(row,)] = execute(database, "select service_keys::text from service_keys")
    assert secret not in row and secret not in repr(keys.all()) and secret not in repr(made)
    assert made.key_id.hex in token


def test_scopes_are_collections_by_name_or_id(keys: PgKeys, database: str) -> None:
    [(faq,)] = execute(database, "select collection_id from collections where name = 'faq'")
    made, _ = keys.create("n", {str(faq): "editor", "handbook": "reader"}, lifetime=DAY)
    assert [(one.name, one.role) for one in made.scopes] == [
        ("faq", "editor"),
        ("handbook", "reader"),
    ]
    execute(database, "insert into collections (name, owner_id) values ('faq', %s)", uuid4())
    refused: list[tuple[type[PromptlyError], dict[str, Any], str]] = [
        (NotFound, {"nowhere": "reader"}, "no collection 'nowhere'"),
        (InvalidInput, {"faq": "reader"}, f"Several collections are called 'faq'.*{faq}"),
        (InvalidInput, {}, "name a collection"),
    ]
    for error, scopes, reason in refused:
        with pytest.raises(error, match=reason):
            keys.create("x", scopes, lifetime=DAY)
    assert len(keys.all()) == 1  # nothing half-made


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
@pytest.mark.parametrize(
    "statement", ["select * from service_keys", "delete from service_keys", "insert"]
)
def test_nobody_reaches_the_table_itself(
    keys: PgKeys, database: str, role: str, statement: str
) -> None:
    if statement == "insert":
        statement = (
            "insert into service_keys (name, secret_hash, expires_at) "
            "values ('x', sha256('x'), now() + '1 day')"
        )
    with psycopg.connect(database, **connection_arguments(database)) as connection:
        connection.execute(f"set role {role}")  # type: ignore[arg-type]
        with pytest.raises(InsufficientPrivilege):
            connection.execute(statement)  # type: ignore[arg-type]


def test_a_key_owns_nothing_whoever_says_so(keys: PgKeys, database: str) -> None:
    made, _ = keys.create("nightly", {"handbook": "reader"}, lifetime=DAY)
    for statement in (
        "insert into collections (name, owner_id) values ('x', %s)",
        "update collections set owner_id = %s where name = 'faq'",
        "update members set role = 'owner' where user_id = %s",
        "insert into members select collection_id, %s, 'owner' from collections where name = 'faq'",
    ):
        with pytest.raises(InsufficientPrivilege, match="owns no collection"):
            execute(database, statement, made.key_id)


def test_a_dump_brings_no_keys(
    keys: PgKeys, database: str, new_database: Any, tmp_path: Path
) -> None:
    """One that was revoked after the dump was made would else open again."""
    keys.create("nightly", {"handbook": "reader"}, lifetime=DAY)
    person = uuid4()
    execute(
        database,
        "insert into members select collection_id, %s, 'reader' from collections "
        "where name = 'faq'",
        person,
    )
    assert dump(database, tmp_path / "store.dump")["members"] == 1
    with new_database() as fresh:
        restore(fresh, tmp_path / "store.dump")
        assert execute(fresh, "select user_id from members") == [(person,)]
        assert execute(fresh, "select count(*) from service_keys") == [(0,)]


def command(home: Path, database: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PROMPTLY_HOME": str(home), "PROMPTLY_DATABASE_URL": database, "COLUMNS": "200"}
    return promptly("keys", *arguments, environment=environment)


def test_from_the_command_line(keys: PgKeys, database: str, tmp_path: Path) -> None:
    given = ("--reader", "handbook", "--editor", "faq", "--expires", "12h")
    made = json.loads(command(tmp_path, database, "create", "nightly", *given, "--json").stdout)
    assert made["token"].startswith(f"promptly_{UUID(made['key_id']).hex}_")
    assert {one["name"]: one["role"] for one in made["scopes"]} == {
        "handbook": "reader",
        "faq": "editor",
    }
    shown = command(tmp_path, database, "create", "by hand", "--reader", "faq")
    assert shown.stdout.splitlines()[-1].startswith("promptly_")
    assert "asks for no keys yet" in shown.stderr
    revoked = command(tmp_path, database, "revoke", made["key_id"])
    assert revoked.returncode == 0 and made["key_id"] in revoked.stdout

    states = [(one.name, one.state, len(one.scopes)) for one in keys.all()]
    assert states == [("nightly", "revoked", 0), ("by hand", "active", 1)]
    listed = command(tmp_path, database, "list").stdout
    assert "revoked" in listed and made["key_id"] in listed and made["token"] not in listed
    for wrong in ("0d", "90", "9999w", "-1d"):
        done = command(tmp_path, database, "create", "x", "--reader", "faq", f"--expires={wrong}")
        assert (done.returncode, "12h, 90d or 52w" in done.stderr) == (1, True), done.stderr
