"""`promptly sources` and `promptly jobs` as an operator types them, with a real worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.promptly import commands
from tests.servers.website import website

Promptly = Any


@pytest.fixture
def environment(database: str, tmp_path: Path, embedder_cache: Path, embedder: object) -> Any:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "cache").symlink_to(embedder_cache)
    return {
        **os.environ,
        "PROMPTLY_HOME": str(tmp_path / "home"),
        "PROMPTLY_DATABASE_URL": database,
        "COLUMNS": "200",
    }


@pytest.fixture
def promptly(environment: Any) -> Promptly:
    def run(*arguments: str, fails: bool = False) -> Any:
        done = commands.promptly(*arguments, environment=environment)
        assert (done.returncode == 1) is fails, done.stderr
        if fails:
            (line,) = done.stderr.strip().splitlines()
            return line.removeprefix("Error: ")
        return json.loads(done.stdout) if "--json" in arguments else done.stdout

    return run


@contextmanager
def working(environment: Any) -> Iterator[None]:
    command = [sys.executable, "-m", "promptly", "worker", "--json"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    try:
        yield
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_sources_are_added_refreshed_and_removed(
    promptly: Promptly, environment: Any, tmp_path: Path, database: str
) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text("The heron waits.")
    with psycopg.connect(database) as connection:
        connection.execute("create table posts (post_id int primary key, head text, body text)")
        connection.execute("insert into posts values (1, 'Otters', 'The otter swims.')")
    with website() as site:
        site.sitemap("/sitemap.xml", "/beavers")
        site.put("/beavers", "<h1>Beavers</h1><p>The beaver builds.</p>")
        said = promptly("sources", "add", "web", "--sitemap", f"{site.url}/sitemap.xml",
                        "-c", "zoo", "--every", "30m")  # fmt: skip
        assert f"to zoo: {site.url}/sitemap.xml. A worker refreshes it now and every 30m." in said
        relative = os.path.relpath(tmp_path / "notes")
        files = promptly("sources", "add", "files", relative, "-c", "zoo", "--json")
        assert Path(files["settings"]["paths"][0]).is_absolute()
        columns = ("--id", "post_id", "--title", "head", "--content", "body", "--metadata", "head")
        promptly("sources", "add", "table", "public.posts", *columns, "-c", "zoo")
        assert promptly("jobs", "list", "--json")["counts"][-1]["waiting"] == 3
        with working(environment):
            deadline = time.monotonic() + 60
            while promptly("jobs", "list", "--json")["jobs"]:
                assert time.monotonic() < deadline
    documents = promptly("documents", "list", "-c", "zoo", "--json")["documents"]
    assert {one["title"] for one in documents} == {"Beavers", "Otters", "a.md"}
    listed = promptly("sources", "list")
    assert "30m" in listed and "1 new" in listed
    said = promptly("sources", "remove", files["source_id"])
    assert said == f"Removed source {files['source_id']} and the 1 documents that it brought.\n"
    assert len(promptly("documents", "list", "--json")["documents"]) == 2
    other = promptly("sources", "list", "--json")["sources"][0]["source_id"]
    assert promptly("sources", "refresh", other, "--json") == {"refreshing": other}


def test_what_was_given_up_is_listed_and_tried_again(promptly: Promptly, database: str) -> None:
    promptly("sources", "add", "web", "http://127.0.0.1:1/a", "http://127.0.0.1:1/b")
    with psycopg.connect(database) as connection:
        connection.execute("update jobs set dead_at = now(), reason = 'Nobody answers.'")
    assert "given up: Nobody answers." in promptly("sources", "list")
    (job,) = promptly("jobs", "list", "--state", "dead", "--json")["jobs"]
    assert (job["name"], job["reason"]) == ("http://127.0.0.1:1/a and 1 more", "Nobody answers.")
    assert promptly("jobs", "retry", str(job["job_id"])) == "1 job is tried again.\n"
    assert promptly("jobs", "retry", "--all-dead", "--json") == {"retried": 0}


SENTENCES = {
    "sources add web": "Give the addresses of pages, or --sitemap with one's address.",
    "sources add web ftp://x": "An address of a source begins with",
    "sources add web http://x --every soon": "--every is 'soon': give a number with m, h or d",
    "sources add files https://x/a.md": "added by `promptly sources add web`.",
    "sources add table posts --id a --content b": "There is no table posts: name it with",
    "jobs retry": "Give a job's id, or --all-dead.",
    "jobs retry 7": "There is no job 7: it may be done.",
}


def test_one_sentence_says_what_is_wrong(promptly: Promptly) -> None:
    for arguments, said in SENTENCES.items():
        assert said in promptly(*arguments.split(), fails=True)
    assert promptly("sources", "list", "--json") == {"sources": []}
