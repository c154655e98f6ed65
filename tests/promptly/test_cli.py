"""The command line as a user meets it: real processes, a real database, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pyarrow.parquet as pq
import pytest
from psycopg.conninfo import conninfo_to_dict

from model_pipeline.domain import Embedder
from model_pipeline.store.embedded import embedded_postgres
from promptly.cli.app import app
from rag_service.outbox_files import bury
from tests.promptly.commands import promptly
from tests.servers.ports import free_port


@pytest.fixture(scope="module")
def home(
    tmp_path_factory: pytest.TempPathFactory, embedder_cache: Path, embedder: object
) -> Iterator[Path]:
    """With its server running, so that not each command starts and stops it."""
    made = tmp_path_factory.mktemp("home")
    (made / "cache").symlink_to(embedder_cache)
    with embedded_postgres(made / "postgres"):
        yield made


def run(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    given = {"PROMPTLY_HOME": str(home), "COLUMNS": "200", **environment}
    return promptly(*arguments, environment=given)


def as_json(home: Path, *arguments: str) -> dict[str, Any]:
    done = run(home, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


def error(done: subprocess.CompletedProcess[str]) -> str:
    """The one clear sentence on stderr."""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("Error: "), (done.args, done.stderr)
    return lines[0]


def test_documents_to_a_cited_answer(home: Path, tmp_path: Path) -> None:
    rows = tmp_path / "shop.jsonl"
    rows.write_text(
        '{"key": "hours", "head": "Hours", "body": "The shop opens at nine.", "lang": "en"}\n'
        '{"key": "zeiten", "head": "Zeiten", "body": "Bis sechs Uhr offen.", "lang": "de"}\n'
    )
    fields = ("--id-field", "key", "--title-field", "head", "--content-field", "body")
    done = as_json(home, "ingest", str(rows), "-c", "shop", *fields)
    assert (done["new"], done["failed"], done["chunks"]) == (2, 0, 2)
    assert as_json(home, "ingest", str(rows), "-c", "shop", *fields)["unchanged"] == 2

    found = as_json(home, "search", "opening time", "-c", "shop", "--k", "1")
    assert [one["source"] for one in found["passages"]] == ["hours"]
    german = as_json(home, "search", "opening", "--filter", '{"lang": "de"}')
    assert [one["source"] for one in german["passages"]] == ["zeiten"]

    answer = as_json(home, "ask", "When does the shop open?", "-c", "shop")
    assert not answer["declined"]
    assert answer["citations"][0]["quote"] == "The shop opens at nine."
    assert "The shop opens at nine. [1]" in run(home, "ask", "When does the shop open?").stdout

    listed = as_json(home, "documents", "list", "-c", "shop")["documents"]
    assert {one["source"] for one in listed} == {"hours", "zeiten"}
    shown = as_json(home, "documents", "show", listed[0]["document_id"])
    assert shown["chunks"][0]["content"]
    as_json(home, "documents", "delete", listed[0]["document_id"])
    assert len(as_json(home, "documents", "list", "-c", "shop")["documents"]) == 1

    assert all(one["applied"] for one in as_json(home, "db", "status")["migrations"])
    assert as_json(home, "db", "migrate") == {"applied": []}
    assert as_json(home, "doctor")["ok"]


def test_watch_applies_changes_until_it_is_interrupted(home: Path, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("The lighthouse is red.\n")
    arguments = ("ingest", str(tmp_path), "-c", "watched", "--watch", "--json")
    with subprocess.Popen(
        [sys.executable, "-m", "promptly", *arguments],
        env={**os.environ, "PROMPTLY_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            first = json.loads(process.stdout.readline())
            assert (first["event"], first["new"]) == ("ingested", 1)
            (tmp_path / "a.md").write_text("The lighthouse is white.\n")
            told = json.loads(process.stdout.readline())
            assert (told["event"], told["source"]) == ("changed", str(tmp_path / "a.md"))
            found = as_json(home, "search", "the colour of the lighthouse", "-c", "watched")
            assert [one["content"] for one in found["passages"]] == ["The lighthouse is white.\n"]
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, output, errors) == (130, "", "")


def test_a_dump_is_restored_into_an_empty_database_only(home: Path, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("Kept.\n")
    as_json(home, "ingest", str(tmp_path / "a.md"), "-c", "dumped")
    dumped = as_json(home, "db", "dump", str(tmp_path / "all.dump"))
    assert dumped["documents"] > 0
    assert "empty one" in error(run(home, "db", "restore", str(tmp_path / "all.dump")))
    other = tmp_path / "other"
    other.mkdir()
    assert as_json(other, "db", "restore", str(tmp_path / "all.dump")) == dumped


def test_chunks_are_exported_once_and_what_is_there_is_known(home: Path, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("To be exported.\n")
    as_json(home, "ingest", str(tmp_path / "a.md"), "-c", "exported")
    arguments = ("data", "export", "chunks", "-c", "exported", "--out", str(tmp_path / "out"))
    done = as_json(home, *arguments)
    assert (done["rows"], done["rows_before"]) == (1, 0)
    table = pq.read_table(done["files"])
    assert table["content"].to_pylist() == ["To be exported.\n"]
    assert as_json(home, *arguments)["rows_before"] == 1
    assert "1 chunks (1 lay there)" in run(home, *arguments).stdout

    assert "holds another load" in error(run(home, *arguments, "--vectors"))
    assert "--since is 'soon'" in error(run(home, *arguments, "--since", "soon"))
    bare = {"SUPABASE_URL": "", "SUPABASE_KEY": "", "SUPABASE_SECRET_KEY": ""}
    assert "SUPABASE_KEY" in error(run(home, *arguments, "--https", **bare))
    away = {"SUPABASE_URL": f"http://127.0.0.1:{free_port()}", "SUPABASE_KEY": "key"}
    new = (*arguments[:-1], str(tmp_path / "new"))
    refused = run(home, *new, "--https", **away)
    assert (refused.returncode, (tmp_path / "new").exists()) == (4, False)
    assert "SUPABASE_URL does not answer" in error(refused)
    assert run(home, "data", "export", "tables", "--out", "x").returncode == 2


def test_the_doctor_names_and_mends(home: Path, database: str) -> None:
    parts = conninfo_to_dict(database)
    url = f"postgresql://{parts['user']}@/{parts['dbname']}?host={parts['host']}"

    def doctor(*flags: str) -> tuple[int, dict[str, Any]]:
        done = run(home, "doctor", "--json", *flags, PROMPTLY_DATABASE_URL=url)
        return done.returncode, json.loads(done.stdout)

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("drop index chunks_embedding")
        code, told = doctor()
        assert (code, told["ok"]) == (1, False)
        (wrong,) = [one for one in told["checks"] if one["state"] != "ok"]
        assert (wrong["name"], wrong["state"], wrong["fixable"]) == ("indexes", "error", True)
        shown = run(home, "doctor", "--fix", "--deep", PROMPTLY_DATABASE_URL=url)
        assert shown.returncode == 0, shown.stdout
        assert "indexes: built chunks_embedding; " in shown.stdout
        # A warning is no failure.
        connection.execute("update pg_extension set extversion = '0.8.1' where extname = 'vector'")
        code, told = doctor()
        assert (code, told["ok"]) == (0, True)
        assert [one["name"] for one in told["checks"] if one["state"] == "warning"] == ["pgvector"]


def test_the_doctor_tells_what_the_outbox_owes(home: Path, database: str, tmp_path: Path) -> None:
    outbox = tmp_path / "outbox"
    outbox.mkdir()
    (tmp_path / "cache").symlink_to(home / "cache")

    def told() -> tuple[str, str]:
        environment = {"PROMPTLY_HOME": str(tmp_path), "PROMPTLY_DATABASE_URL": database}
        found = json.loads(run(home, "doctor", "--json", **environment).stdout)
        assert found["ok"]
        (one,) = [one for one in found["checks"] if one["name"] == "outbox"]
        return one["state"], one["detail"]

    assert told() == ("ok", "0 waiting")
    bury(outbox, b"{", "It cannot be read.")
    bury(outbox, b"{}", "There is no such answer.")
    state, said = told()
    assert state == "warning"
    assert "2 were refused for good, the last because: There is no such answer." in said
    assert f"Read {outbox / 'dead.jsonl'}, and remove it" in said
    (outbox / "dead.jsonl").unlink()
    now = datetime.now(UTC)
    for name, age in (("1", timedelta(seconds=5)), ("2", timedelta(days=1, seconds=5))):
        entry = {"kind": "answer", "user_id": None, "at": (now - age).isoformat(), "data": {}}
        (outbox / f"{name}.outbox").write_text(f"{json.dumps(entry)}\n{{torn")
    state, said = told()
    assert state == "warning"
    assert f"2 wait for the database, the first since {now - age:%Y-%m-%d}" in said
    assert "start the API" in said and "refused" not in said
    (outbox / "2.outbox").unlink()
    assert told() == ("ok", "1 waiting")


@contextmanager
def watching(home: Path, folder: Path) -> Iterator[Callable[[], dict[str, Any]]]:
    """`promptly ingest --watch`; gives what tells its next event."""
    with subprocess.Popen(
        [sys.executable, "-m", "promptly", "ingest", str(folder), "--watch", "--json"],
        env={**os.environ, "PROMPTLY_HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = process.stdout
        try:
            yield lambda: json.loads(lines.readline())
        finally:
            process.kill()


def test_another_embedder_and_back(
    embedder_cache: Path, embedder: Embedder, tiny_models: dict[str, str], tmp_path: Path
) -> None:
    home, folder, tiny = tmp_path / "home", tmp_path / "docs", tiny_models["narrow"]
    home.mkdir()
    folder.mkdir()
    (home / "cache").symlink_to(embedder_cache)
    (folder / "a.md").write_text("The red tent.\n")

    with watching(home, folder) as told:
        assert told()["new"] == 1
        done = run(home, "reembed", "--model", tiny, "--json")
        assert done.returncode == 0, done.stderr
        events = [json.loads(line) for line in done.stdout.splitlines()]
        assert [one["event"] for one in events] == ["progress"] * (len(events) - 1) + ["switched"]
        # Whoever was started before follows.
        (folder / "b.md").write_text("The blue kettle.\n")
        assert told()["event"] == "new"
        status = as_json(home, "reembed", "status")
        assert (status["active"]["spec"], status["standby"]["spec"]) == (tiny, embedder.spec)
        assert (status["chunks"], status["filled"]) == (2, 1)
        refused = error(
            run(home, "ingest", str(folder), PROMPTLY_EMBEDDER=embedder.spec, COLUMNS="1000")
        )
        assert tiny in refused and embedder.name in refused and "promptly reembed" in refused
        assert "Switched to onnx" in run(home, "reembed", "back").stdout
        assert as_json(home, "reembed", "confirm")["dropped"]
    assert len(as_json(home, "search", "kettle")["passages"]) == 2


def test_wrong_use_is_one_clear_sentence(home: Path, tmp_path: Path) -> None:
    gone = run(home, "ingest", str(tmp_path / "gone.md"), "-c", "x")
    assert gone.returncode == 3
    assert "does not exist" in gone.stderr
    assert "is not JSON" in error(run(home, "search", "x", "--filter", "{"))
    assert "empty" in error(run(home, "ask", "  "))
    assert "no collection 'nowhere'" in error(run(home, "ask", "x y z", "-c", "nowhere"))
    assert "no document" in error(
        run(home, "documents", "show", "00000000-0000-0000-0000-000000000000")
    )
    assert "PROMPTLY_API_PORT" in error(run(home, "db", "status", PROMPTLY_API_PORT="a"))
    assert "PROMPTLY_EMBEDDER" in error(run(home, "ask", "x", PROMPTLY_EMBEDDER="none"))
    assert run(home, "search", "x", "--mode", "psychic").returncode == 2
    assert "There is no embedder 'x'" in error(run(home, "reembed", "--model", "x"))
    assert "no switch to take back" in error(run(home, "reembed", "back"))
    assert run(home, "reembed").returncode == 2


def test_a_database_that_is_away_is_told(home: Path) -> None:
    url = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    done = run(home, "documents", "list", PROMPTLY_DATABASE_URL=url)
    assert done.returncode == 4
    assert "The database gave no connection" in error(done)
    done = run(home, "doctor", "--json", PROMPTLY_DATABASE_URL=url)
    assert done.returncode == 4
    last = json.loads(done.stdout)["checks"][-1]
    assert (last["name"], last["state"]) == ("database", "error")
    assert "The database does not answer" in last["detail"]


@pytest.fixture
def running(home: Path) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    api, ui = free_port(), free_port()
    environment = {
        **os.environ,
        "PROMPTLY_HOME": str(home),
        "PROMPTLY_API_PORT": str(api),
        "PROMPTLY_UI_PORT": str(ui),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "promptly", "up"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process, api, ui
    finally:
        process.kill()
        process.communicate()


def test_up_serves_until_it_is_interrupted(
    home: Path, running: tuple[subprocess.Popen[str], int, int]
) -> None:
    process, api, ui = running
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{ui}/_stcore/health").is_success:
                break
        except httpx.HTTPError:
            time.sleep(0.2)
    address = f"http://127.0.0.1:{api}"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{address}/readyz").is_success:
                break
        except httpx.HTTPError:
            time.sleep(0.2)
    body = {"query": "anything", "k": 1}
    assert httpx.post(f"{address}/v1/search", json=body).is_success
    # While it runs, other commands share its database, and its ports are taken.
    assert run(home, "documents", "list").returncode == 0
    taken = run(home, "up", PROMPTLY_API_PORT=str(api))
    assert taken.returncode == 1
    assert "PROMPTLY_API_PORT" in error(taken)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output
    assert address in output
    assert "Traceback" not in output
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/healthz")


def test_every_command_has_help() -> None:
    assert len(app.registered_commands) >= 6
    for command in app.registered_commands:
        assert command.callback is not None
        assert command.callback.__doc__
