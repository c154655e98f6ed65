"""docs/clients.md: every command and snippet of it, run against a real service."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pytest
from openai import OpenAI

from model_pipeline.embedding.onnx_embedder import OnnxEmbedder
from promptly.settings import Settings
from tests.servers.promptly_api import running

REPO = Path(__file__).resolve().parents[2]
PAGE = (REPO / "docs" / "clients.md").read_text("utf-8")
HERE = "http://127.0.0.1:8000"
COMMANDS = re.findall(r"^    (curl (?:.*\\\n)*.*)$", PAGE, re.MULTILINE)
SNIPPETS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
# Whence the page says that the value of a variable is: the reply, and the place in it.
TOLD: dict[tuple[str, str], tuple[str, list[str | int]]] = {
    ("GET", "/v1/history"): ("CONVERSATION", ["conversations", 0, "conversation_id"]),
    ("GET", "/v1/history/{conversation_id}"): ("ANSWER", ["answers", 0, "answer_id"]),
    ("GET", "/v1/documents"): ("DOCUMENT", ["documents", 0, "document_id"]),
    ("POST", "/v1/collections"): ("COLLECTION", ["collection_id"]),
    ("POST", "/v1/sources"): ("SOURCE", ["source_id"]),
    ("GET", "/v1/jobs"): ("JOB", ["jobs", 0, "job_id"]),
}


@pytest.fixture(scope="module")
def address(
    module_database: str, embedder_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    home = tmp_path_factory.mktemp("home")
    (home / "cache").symlink_to(embedder_cache)
    settings = Settings(home=home, database_url=module_database, bias_policy="flag")
    with running(settings, module_database) as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the page's reader stands: with the file that is uploaded, and a curl that fails where
    the service refuses."""
    (tmp_path / "tickets.md").write_text("# Tickets\n\nA ticket costs twelve euros.\n")
    (tmp_path / ".curlrc").write_text("silent\nshow-error\nfail-with-body\nmax-time = 60\n")
    return tmp_path


def asked(command: str) -> tuple[str, str]:
    """The method and the path of a curl command, as the OpenAPI document names them."""
    words = shlex.split(command)
    [url] = [one for one in words if one.startswith("$API")]
    method = words[words.index("-X") + 1] if "-X" in words else ""
    method = method or ("POST" if {"-d", "-F"} & set(words) else "GET")
    path = url.removeprefix("$API").partition("?")[0]
    for name, parameter in (
        ("$CONVERSATION", "{conversation_id}"),
        ("$ANSWER", "{answer_id}"),
        ("$DOCUMENT", "{document_id}"),
        ("$COLLECTION", "{collection_id}"),
        ("$USER_ID", "{user_id}"),
        ("$SOURCE", "{source_id}"),
        ("$JOB", "{job_id}"),
        ("promptly/museum", "{model}"),
    ):
        path = path.replace(name, parameter)
    return method, path


def test_every_operation_has_its_command(address: str) -> None:
    document = httpx.get(f"{address}/openapi.json").json()
    served = {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }
    assert {asked(command) for command in COMMANDS} == served, "docs/clients.md is not up to date"


def test_every_command_runs(address: str, folder: Path) -> None:
    environment = {
        **os.environ, "API": address, "KEY": "Authorization: Bearer any",
        "JSON": "Content-Type: application/json", "CURL_HOME": str(folder),
        "USER_ID": str(uuid4()), "NO_PROXY": "127.0.0.1",
    }  # fmt: skip
    replies: dict[str, str] = {}
    for command in COMMANDS:
        done = subprocess.run(
            ["sh", "-c", command], cwd=folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        replies[command] = done.stdout
        if asked(command) in TOLD:
            name, place = TOLD[asked(command)]
            found: Any = json.loads(done.stdout)
            for part in place:
                found = found[part]
            environment[name] = str(found)
    answers = [one for command, one in replies.items() if "/v1/answers" in command]
    assert "opens at nine" in json.loads(answers[0])["answer"]
    assert "event: done" in answers[1] and "twelve euros" in answers[1]
    [chat] = [one for command, one in replies.items() if "/v1/chat/" in command]
    assert json.loads(chat)["object"] == "chat.completion"


@pytest.mark.parametrize("snippet", SNIPPETS, ids=["sync", "async", "openai"])
def test_every_snippet_runs(address: str, folder: Path, snippet: str) -> None:
    assert HERE in snippet
    body = {"source": "hours.md", "text": "The museum opens at nine.", "collection": "museum"}
    httpx.post(f"{address}/v1/documents", json=body).raise_for_status()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", snippet.replace(HERE, address)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPO), "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    expected = ("There is no collection 'nowhere'.", "DoneEvent", "[1] The museum opens at nine.")
    assert expected[SNIPPETS.index(snippet)] in done.stdout


def test_embeddings_are_those_that_documents_are_found_by(
    address: str, embedder: OnnxEmbedder
) -> None:
    texts = ["opening hours", "a ticket", "When does the museum open?"]
    with OpenAI(base_url=f"{address}/v1", api_key="any") as client:
        for given in (texts, texts[0]):
            data = client.embeddings.create(model=embedder.spec, input=given).data
            found = np.array([one.embedding for one in data], dtype=np.float32)
            assert np.array_equal(found, embedder.embed([given] if given is texts[0] else texts))
        listed = [one.id for one in client.models.list()]
    assert embedder.spec in listed
