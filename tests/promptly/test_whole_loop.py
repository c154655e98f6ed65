"""From documents to a model that answers from them, by the commands a user types: training data, a
run on the server that stands for Kaggle, a scorecard, a version on the server that stands for the
Hub, and the service with that version."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import CommitOperationAdd

from tests.language_models import make_base_model
from tests.promptly.commands import promptly
from tests.promptly.loading import answers
from tests.promptly.material import write_documents
from tests.servers import hub_server, kaggle_server
from tests.servers.hub_server import Hub
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
def environment(module_database: str, embedder_cache: Path, tmp_path: Path) -> dict[str, str]:
    """Of the commands; nothing that other tests keep of what they did."""
    cache = tmp_path / "home" / "cache"
    cache.mkdir(parents=True)
    for one in embedder_cache.iterdir():
        if ".sqlite" not in one.name:
            (cache / one.name).symlink_to(one)
    return {
        "PROMPTLY_HOME": str(tmp_path / "home"), "PROMPTLY_DATABASE_URL": module_database,
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


def test_documents_become_a_model_that_answers(
    environment: dict[str, str],
    account: State,
    hub: Hub,
    tmp_path: Path,
) -> None:
    def run(*arguments: str) -> dict[str, Any]:
        done = promptly(*arguments, "--json", environment=environment)
        assert done.returncode == 0, (arguments, done.stderr, done.stdout)
        parsed: dict[str, Any] = json.loads(done.stdout)
        return parsed

    write_documents(tmp_path)
    run("ingest", str(tmp_path / "shop"), "--collection", "shop")
    data = Path(run("train", "data", "--n", "24", "--out", str(tmp_path / "data"))["folder"])

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

    [submitted] = run("train", "submit", str(data), "--params", str(tmp_path / "params.yaml"))[
        "runs"
    ]
    (tmp_path / "held.jsonl").write_text(json.dumps({"question": QUESTION, "answer": "By screws."}))
    collect = ["--publish", MODEL, "--test-set", str(tmp_path / "held.jsonl")]
    [run_] = run("train", "collect", submitted["run_id"], "--wait", *collect)["runs"]
    assert (run_["state"], run_["version"]) == ("published", f"{MODEL}@v1")
    assert run_["metrics"]["scorecard"]["test_set"] == "held"
    assert account.kernels == {} == account.datasets

    [version] = run("models", "list")["versions"]
    manifest = json.loads((data / "manifest.json").read_text())
    assert version["dataset_hash"] == manifest["hash"]
    [found] = answers(environment, [version["generator"]], QUESTION, tmp_path)
    assert found["release_id"].startswith(version["generator"].removeprefix("transformers:"))
    assert version["commit"] in found["release_id"] and commit in found["release_id"]
