"""From documents to a model that answers from them, by the commands a user types: training data, a
run on the server that stands for Kaggle, a scorecard, a version on the server that stands for the
Hub, and the service with that version. Then the same with each command killed and typed again."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from signal import SIGKILL
from typing import Any, LiteralString

import psycopg
import pytest
from huggingface_hub import CommitOperationAdd

from tests.language_models import make_base_model
from tests.promptly.commands import promptly, started
from tests.promptly.loading import answers
from tests.promptly.material import write_documents
from tests.servers import hub_server, kaggle_server
from tests.servers.hub_server import CUT, Hub
from tests.servers.kaggle_account import State
from training.hub.client import open_hub

BASE, MODEL = "tester/tiny", "tester/answers"
QUESTION = "How can you repair tool 3?"
# Enough for a prompt of the service.
CONTEXT = 2048
PARAMETERS = """
finetune:
  base_model: {base}
  base_revision: {commit}
  rank: 4
  alpha: 8
  max_steps: 2
  evaluations: 1
  generated: 1
  max_new_tokens: 4
  batch_size: 2
  device_batch_size: 1
  max_tokens: {context}
  time_limit_s: 600
"""


@pytest.fixture
def environment(database: str, embedder_cache: Path, tmp_path: Path) -> dict[str, str]:
    """Of the commands; nothing that other tests keep of what they did."""
    cache = tmp_path / "home" / "cache"
    cache.mkdir(parents=True)
    for one in embedder_cache.iterdir():
        if ".sqlite" not in one.name:
            (cache / one.name).symlink_to(one)
    return {
        "PROMPTLY_HOME": str(tmp_path / "home"), "PROMPTLY_DATABASE_URL": database,
        "PROMPTLY_KAGGLE_POLL_S": "0.05", "COLUMNS": "200",
    }  # fmt: skip


@pytest.fixture
def account(environment: dict[str, str], tmp_path: Path) -> Iterator[State]:
    with kaggle_server.running(tmp_path / "kaggle") as state:
        state.processing = 0
        environment.update(kaggle_server.variables(state))
        yield state


@pytest.fixture
def hub(environment: dict[str, str], tmp_path: Path) -> Iterator[Hub]:
    with hub_server.running(tmp_path / "hub") as server:
        # The proxy to Kaggle's stand-in takes localhost.
        local = f"127.0.0.1,{server.cdn}"
        environment.update(
            HF_ENDPOINT=server.url, HF_TOKEN=hub_server.TOKEN, NO_PROXY=local, no_proxy=local
        )
        yield server


class Commands:
    """What a user types; `killed` also sees it die in the middle before it is typed again."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def run(self, *arguments: str) -> dict[str, Any]:
        done = promptly(*arguments, "--json", environment=self.environment)
        assert done.returncode == 0, (arguments, done.stderr, done.stdout)
        parsed: dict[str, Any] = json.loads(done.stdout)
        return parsed

    def killed(self, *arguments: str, at: Callable[[int], bool]) -> None:
        """`at` is asked, with its process's id, until it is so far, or something kills it."""
        process = started(*arguments, "--json", environment=self.environment)
        assert process.pid is not None
        while process.is_alive() and not at(process.pid):
            time.sleep(0.001)
        process.kill()
        process.join()
        assert process.exitcode == -SIGKILL, (arguments, "it ended before it came as far")
        with psycopg.connect(self.environment["PROMPTLY_DATABASE_URL"]) as connection:
            connection.execute("update runs set leased_until = now() - interval '1 s'")

    def holds(self, query: LiteralString) -> Callable[[int], bool]:
        """Whether the database finds anything by it."""

        def at(_: int) -> bool:
            with psycopg.connect(self.environment["PROMPTLY_DATABASE_URL"]) as connection:
                return connection.execute(query).fetchone() is not None

        return at


def kaggle_asked(account: State, method: str) -> Callable[[int], bool]:
    """Killed when Kaggle has done that, and nobody heard of it."""
    pids: list[int] = []
    account.faults[method].append(kaggle_server.kills(lambda: pids[0], first=False))

    def at(pid: int) -> bool:
        pids[:] = [pid]
        return False

    return at


def hub_asked(hub: Hub, step: str) -> Callable[[int], bool]:
    """Killed while the Hub waits with its answer to what it has done."""
    held = hub.hold(step, after=True, then=CUT)

    def at(pid: int) -> bool:
        assert held.go is not None
        if held.reached.is_set():
            os.kill(pid, SIGKILL)
            held.go.set()
        return held.go.is_set()

    return at


@pytest.mark.timeout(900)  # torch is imported in a process for each of its parts
@pytest.mark.parametrize("killed", [False, True], ids=["whole", "killed at each step"])
def test_documents_become_a_model_that_answers(
    environment: dict[str, str], account: State, hub: Hub, tmp_path: Path, killed: bool
) -> None:
    commands = Commands(environment)
    run = commands.run

    def first(at: Callable[[], Callable[[int], bool]], *arguments: str) -> None:
        if killed:
            commands.killed(*arguments, at=at())

    write_documents(tmp_path)
    ingest = ["ingest", str(tmp_path / "shop"), "--collection", "shop"]
    first(partial(commands.holds, "select from embedder"), *ingest)
    run(*ingest)
    make = ["train", "data", "--n", "24", "--out", str(tmp_path / "data")]
    first(lambda: lambda _: any(tmp_path.glob(".data.*.part")), *make)
    data = Path(run(*make)["folder"])
    assert not list(tmp_path.glob(".data.*"))

    base = make_base_model(
        tmp_path / "base", reads=(data / "train.jsonl").read_text(), context_tokens=CONTEXT
    )
    client = open_hub(hub.url, token=hub_server.TOKEN)
    client.api.create_repo(BASE, private=True)
    files = [CommitOperationAdd(path.name, path) for path in base.iterdir()]
    commit = client.api.create_commit(BASE, operations=files, commit_message="base").oid
    account.mounts["tiny"] = base  # a session reaches Kaggle alone
    (tmp_path / "params.yaml").write_text(
        PARAMETERS.format(base=BASE, commit=commit, context=CONTEXT)
    )

    submit = ["train", "submit", str(data), "--params", str(tmp_path / "params.yaml")]
    for method in ("CreateDataset", "SaveKernel"):
        first(partial(kaggle_asked, account, method), *submit)
    [submitted] = run(*submit)["runs"]
    assert account.count("SaveKernel") == 1

    (tmp_path / "held.jsonl").write_text(json.dumps({"question": QUESTION, "answer": "By screws."}))
    collect = [
        "train", "collect", submitted["run_id"], "--wait",
        "--publish", MODEL, "--test-set", str(tmp_path / "held.jsonl"),
    ]  # fmt: skip
    first(partial(kaggle_asked, account, "ListKernelSessionOutput"), *collect)
    first(partial(hub_asked, hub, "commit"), *collect)
    first(partial(kaggle_asked, account, "DeleteKernel"), *collect)
    [run_] = run(*collect)["runs"]
    assert (run_["state"], run_["version"]) == ("published", f"{MODEL}@v1")
    assert run_["metrics"]["scorecard"]["test_set"] == "held"
    assert account.kernels == {} == account.datasets

    [version] = run("models", "list")["versions"]
    manifest = json.loads((data / "manifest.json").read_text())
    assert version["dataset_hash"] == manifest["hash"]
    [found] = answers(environment, [version["generator"]], QUESTION, tmp_path)
    assert found["release_id"].startswith(version["generator"].removeprefix("transformers:"))
    assert version["commit"] in found["release_id"] and commit in found["release_id"]
