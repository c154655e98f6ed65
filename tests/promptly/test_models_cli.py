"""`promptly models` from end to end: a Hub, a database, and what a person or a script reads."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner, Result

from bias.report import file
from bias.report.report import make
from model_pipeline.errors import PromptlyError
from model_pipeline.evaluation import scorecard_file
from promptly.cli.app import app
from tests.bias.report.material import drawn, material
from tests.model_pipeline.evaluation.cards import make_card
from tests.promptly.commands import promptly
from tests.servers.hub_server import READ_TOKEN, TOKEN, Hub, running
from tests.training.hub.finetuned import PINNED, finetuned

REPO = "tester/answers"
Run = Callable[..., Result]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with running(tmp_path / "hub") as started:
        yield started


@pytest.fixture
def environment(hub: Hub, database: str, tmp_path: Path) -> dict[str, str]:
    return {
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": TOKEN,
        "PROMPTLY_DATABASE_URL": database,
        "PROMPTLY_HOME": str(tmp_path / "home"),
        "COLUMNS": "300",
    }


@pytest.fixture
def run(environment: dict[str, str]) -> Iterator[Run]:
    """A command in this process, which keeps its own signals."""
    kept = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def invoke(*arguments: str, **more: str) -> Result:
        done = CliRunner().invoke(app, ["models", *arguments], env=environment | more)
        if isinstance(done.exception, PromptlyError) or not isinstance(
            done.exception, SystemExit | None
        ):
            raise done.exception
        return done

    yield invoke
    for one, handler in kept.items():
        signal.signal(one, handler)


def as_json(done: Result, status: int = 0) -> Any:
    assert done.exit_code == status, done.output
    return json.loads(done.stdout)


def test_from_a_fine_tune_to_production_and_back(hub: Hub, run: Run, tmp_path: Path) -> None:
    assert run("list").stdout == "No versions.\n"
    assert run("list", REPO).stdout == f"No versions of {REPO}.\n"
    folder = finetuned(tmp_path / "1", seed=1)
    data = finetuned(tmp_path / "data", facts={"hash": "d" * 64, "counts": {"train": 90}})
    card = tmp_path / "scorecard.json"
    scorecard_file.write(make_card(bias=4.5), card)
    judged = tmp_path / "bias.json"
    judged.write_text(file.to_json(make(material(drawn(40, seed=1)))))
    made = as_json(run(
        "publish", str(folder), REPO, "--license", "mit", "--scorecard", str(card),
        "--data", str(data), "--bias-report", str(judged), "--by", "me", "--json",
    ))  # fmt: skip
    assert (made["name"], made["fresh"], made["kind"]) == (f"{REPO}@v1", True, "adapter")
    assert made["generator"] == f"transformers:{PINNED}+{REPO}@{made['commit']}"
    shown = hub.content(REPO, "v1", "README.md").decode()
    assert "license: mit" in shown and "Scored on 24 examples" in shown
    assert "| counts.train | 90 |" in shown
    assert "40 answers judged by words-1: mean level" in shown

    again = as_json(run("publish", str(folder), REPO, "--json"))
    assert (again["commit"], again["fresh"]) == (made["commit"], False)
    second = finetuned(tmp_path / "2", seed=2)
    told = run("publish", str(second), REPO, "--kind", "merged").stdout
    assert f"{REPO}@v2 is published: {hub.url}/{REPO}/tree/v2" in told
    assert f"PROMPTLY_GENERATOR=transformers:{REPO}@{hub.repo(REPO).tags['v2']}" in told

    for tag in ("v1", "v2"):
        run("promote", f"{REPO}@{tag}", "--reason", f"{tag} is better", "--by", "me")
    assert hub.repo(REPO).tags["production"] == hub.repo(REPO).tags["v2"]
    back = as_json(run("rollback", REPO, "--reason", "v2 is slow", "--by", "you", "--json"))
    assert (back["name"], back["moved"]) == (f"{REPO}@v1", True)
    assert hub.repo(REPO).tags["production"] == made["commit"]
    once_more = as_json(run("rollback", REPO, "--to", "v1", "--reason", "sure", "--json"))
    assert once_more["moved"] is False

    listed = as_json(run("list", "--json"))["versions"]
    assert [(one["tag"], one["production"]) for one in listed] == [("v1", True), ("v2", False)]
    assert "production" in run("list", REPO).stdout
    found = as_json(run("show", REPO, "--json"))
    assert found["commit"] == made["commit"]
    assert [(one["action"], one["reason"], one["made_by"]) for one in found["ledger"]] == [
        ("published", "a new version", "me"),
        ("promoted", "v1 is better", "me"),
        ("rolled_back", "v2 is slow", "you"),
    ]
    assert "rolled back by you: v2 is slow" in run("show", f"{REPO}@v1").stdout

    assert f"{REPO}@v1 is what was published." in run("verify", f"{REPO}@v1").stdout
    weights = hub.repo(REPO).at("v1").files["adapter_model.safetensors"].sha256
    hub.objects.path(weights).write_bytes(bytes(hub.objects.path(weights).stat().st_size))
    (fault,) = as_json(run("verify", f"{REPO}@v1", "--json"), 1)["faults"]
    assert fault.startswith("adapter_model.safetensors is not what was written")


def test_a_run_that_the_hub_took_and_the_database_did_not_is_completed(
    hub: Hub, run: Run, database: str, tmp_path: Path
) -> None:
    folder = finetuned(tmp_path / "1")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("alter table model_versions rename to away")
        with pytest.raises(PromptlyError, match="promptly db migrate"):
            run("publish", str(folder), REPO)
        connection.execute("alter table away rename to model_versions")
    assert as_json(run("list", "--json"))["versions"] == []
    assert as_json(run("publish", str(folder), REPO, "--json"))["tag"] == "v1"
    assert [one["tag"] for one in as_json(run("list", "--json"))["versions"]] == ["v1"]
    assert set(hub.repo(REPO).tags) == {"v1"}


def test_what_is_wrong_is_one_sentence(hub: Hub, run: Run, tmp_path: Path) -> None:
    folder = str(finetuned(tmp_path / "1"))
    hub.create("tester/else", private=True)

    def refused(said: str, *arguments: str, **more: str) -> None:
        with pytest.raises(PromptlyError) as told:
            run(*arguments, **more)
        assert said in told.value.message
        assert "\n" not in told.value.message

    refused("set HF_TOKEN", "publish", folder, REPO, HF_TOKEN="")
    refused("make a new HF_TOKEN", "publish", folder, REPO, HF_TOKEN="hf_" + "x" * 34)
    refused("This token may not do this", "publish", folder, REPO, HF_TOKEN=READ_TOKEN)
    refused("is no repository of the Hub", "publish", folder, "answers")
    refused("has no manifest.json", "publish", str(tmp_path), REPO)
    refused("must be one of", "publish", folder, REPO, "--license", "beerware")
    refused("There is no scorecard", "publish", folder, REPO, "--scorecard", "none.json")
    refused("is no bias report", "publish", folder, REPO, "--bias-report", f"{folder}/metrics.json")
    refused("cannot be read as", "publish", folder, REPO, "--bias-report", "none.json")
    refused("the model was made from dddd", "publish", folder, REPO, "--data", folder)
    assert list(hub.repo(REPO).tags) == []  # it was made, and nothing is in it
    refused("There is no version v1", "verify", f"{REPO}@v1")
    refused("Name a version", "promote", REPO, "--reason", "why")
    refused("Nothing of tester/answers is in production", "show", REPO)
    refused("had no other version", "rollback", REPO, "--reason", "why")


IDENTITY = {
    "trusted": ("someone/promptly", True, False, ""),
    "of another": ("another/promptly", True, False, "trusted publisher"),
    "of another, with a token": ("another/promptly", True, True, "HF_TOKEN is used"),
    "no repository yet": ("someone/promptly", False, False, "cannot make it"),
}


@pytest.mark.parametrize("case", IDENTITY)
def test_a_job_publishes_by_its_identity(
    hub: Hub, environment: dict[str, str], tmp_path: Path, case: str
) -> None:
    trusted, exists, with_token, said = IDENTITY[case]
    hub.identities.trusted[REPO] = trusted
    if exists:
        hub.create(REPO, private=True)
    given = environment | hub.identities.environment(REPO)
    if not with_token:
        del given["HF_TOKEN"]
    folder = finetuned(tmp_path / "1")
    done = promptly("models", "publish", str(folder), REPO, environment=given)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    published = case in ("trusted", "of another, with a token")
    assert (done.returncode == 0) == published, done.stderr
    assert ("v1" in hub.repos[REPO].tags if exists else False) == published
    if case == "trusted":
        assert hub.asked[:2] == ["id_token", "exchange"]
        assert hub.asked.count("exchange") == 1  # and kept for all that follows
        elsewhere = promptly("models", "publish", str(folder), "tester/x", environment=given)
        assert elsewhere.returncode == 1
        assert "HF_OIDC_RESOURCE opens tester/answers and not tester/x" in elsewhere.stderr
