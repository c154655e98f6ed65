"""`promptly train submit|collect|status|cancel|logs|resume`, over a real database and a server that
stands for Kaggle."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest
from click.testing import Result
from typer.testing import CliRunner

from model_pipeline.errors import Conflict, InvalidInput, Unavailable
from model_pipeline.store.runs import Run
from promptly.cli import train_runs
from promptly.cli.app import app
from promptly.training_runs import generator_of
from tests.servers import hub_server, kaggle_server
from tests.servers.kaggle_account import KEY, State
from tests.training.hub.finetuned import PINNED, finetuned
from tests.training.kaggle.parts import breaks, leaves, submission, trained, waits


@pytest.fixture
def account(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[State]:
    with kaggle_server.running(tmp_path / "kaggle") as state:
        state.processing = 0
        given = {
            "PROMPTLY_DATABASE_URL": database, "PROMPTLY_HOME": str(tmp_path / "home"),
            "PROMPTLY_KAGGLE_POLL_S": "0.01", "GITHUB_SHA": "c" * 40, "COLUMNS": "200",
        }  # fmt: skip
        for name, value in {**given, **kaggle_server.variables(state)}.items():
            monkeypatch.setenv(name, value)
        for name in ("KAGGLE_API_TOKEN", "PROMPTLY_NOTIFY", "MLFLOW_TRACKING_URI"):
            monkeypatch.delenv(name, raising=False)
        yield state


def train(*words: str) -> Result:
    return CliRunner().invoke(app, ["train", *words])


def told(*words: str, code: int = 0) -> dict[str, Any]:
    done = train(*words, "--json")
    assert done.exit_code == code, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def put(tmp_path: Path, *more: str, code: int = 0) -> dict[str, Any]:
    """Submits, and returns the run."""
    data = submission(tmp_path).data
    (tmp_path / "params.yaml").write_text("finetune: {time_limit_s: 600, rank: 4}\n")
    [run] = told("submit", str(data), "--params", str(tmp_path / "params.yaml"), *more, code=code)[
        "runs"
    ]
    return dict(run)


def test_from_submission_to_what_came_of_it(account: State, tmp_path: Path) -> None:
    account.command = leaves(trained(tmp_path / "model"), "step 1: loss 2.0")
    run = put(tmp_path)
    assert run["state"] == "submitted" and run["git_commit"] == "c" * 40
    assert run["config"]["rank"] == 4
    assert put(tmp_path)["run_id"] == run["run_id"], "the same again"
    again = train("submit", str(tmp_path / "data"), "--params", str(tmp_path / "params.yaml"))
    assert f"The same was submitted before: run {run['run_id'][:8]}." in again.stderr
    summary = tmp_path / "summary.md"
    done = train("collect", run["run_id"][:8], "--wait", "--summary", str(summary))
    assert done.exit_code == 0 and "succeeded" in done.stdout
    assert f"| {run['run_id'][:8]} | succeeded |" in summary.read_text()
    model = tmp_path / "home/runs" / run["run_id"] / "model"
    assert (model / "manifest.json").is_file()
    assert f"is in {model}: `promptly models publish` makes a version" in done.stdout
    found = told("status", run["run_id"][:8])
    assert found["metrics"]["loss"] == 0.5 and found["events"][-1]["event"] == "succeed"
    assert [one["run_id"] for one in told("status")["runs"]] == [run["run_id"]]
    assert "pushed" in train("status", run["run_id"]).stdout
    assert train("logs", run["run_id"]).stdout == "step 1: loss 2.0\n"
    assert told("collect") == {"runs": []} and account.kernels == {}
    assert train("collect").stdout == "No runs under way.\n"


@pytest.mark.parametrize(
    ("state", "verdict", "version", "training", "result"),
    [
        ("submitted", None, None, None, ""),
        ("failed", "infrastructure", None, None, "infrastructure: it died"),
        ("stopped", None, None, {"steps": 3, "of_steps": 9}, "after 3 of 9 steps"),
        ("succeeded", None, None, {"validation_loss": None}, ""),
        (
            "published",
            None,
            "a/b@v1",
            {"validation_loss_before": 2.71828, "validation_loss": 1.5},
            "a/b@v1, validation loss 2.72 to 1.5",
        ),
    ],
)
def test_what_came_of_a_run_is_told_in_a_cell(
    state: str,
    verdict: str | None,
    version: str | None,
    training: dict[str, Any] | None,
    result: str,
) -> None:
    run = SimpleNamespace(
        state=state,
        verdict=verdict,
        version=version,
        reason="it died",
        metrics=training and {"training": training},
    )
    assert train_runs._result(cast(Run, run)) == result


def test_verdicts_are_exit_statuses(account: State, tmp_path: Path) -> None:
    account.command = breaks("ValueError: [red]loss[/red] | is nan")
    run = put(tmp_path)
    summary = tmp_path / "summary.md"
    done = train("collect", run["run_id"], "--wait", "--summary", str(summary))
    assert done.exit_code == 1 and "failed: ValueError: [red]loss[/red] | is nan" in done.stdout
    assert r"failed: ValueError: \[red\]loss\[/red\] \| is nan" in summary.read_text()
    account.command = breaks("Temporary failure in name resolution")
    run = put(tmp_path, "--key", "another")
    assert (
        told("collect", run["run_id"], "--wait", code=3)["runs"][0]["verdict"] == "infrastructure"
    )


def test_what_was_stopped_goes_on_from_its_checkpoint(account: State, tmp_path: Path) -> None:
    account.command = leaves(trained(tmp_path / "stopped", state="stopped"))
    first = put(tmp_path)
    while told("status", first["run_id"])["state"] != "stopped":
        told("collect")
    account.command = waits()
    [second] = told("resume", first["run_id"])["runs"]
    assert second["resumes"] == first["run_id"] and second["config"] == first["config"]
    assert told("resume", first["run_id"])["runs"][0]["run_id"] == second["run_id"], "one goes on"
    files = account.datasets[second["slug"]].files
    kernel = account.kernels[second["slug"]].folder
    assert {"train.jsonl", "checkpoints.zip"} < files.keys()
    mounted = kernel / "input" / second["slug"] / "checkpoints/checkpoint-3/state.json"
    assert mounted.is_file(), "an archive is unpacked"
    done = train("resume", second["run_id"])
    assert done.exit_code == 2 and "is submitted: only one that was stopped" in done.stderr


def test_what_was_stopped_goes_on_by_itself_so_many_times(account: State, tmp_path: Path) -> None:
    account.command = leaves(trained(tmp_path / "stopped", state="stopped"))
    run = put(tmp_path)
    seen: list[dict[str, Any]] = []
    while not seen or any(one["state"] != "stopped" for one in seen):
        told("collect", "--resume", "2")
        seen = told("status")["runs"]
    assert [one["resumes"] for one in seen] == [seen[1]["run_id"], run["run_id"], None]
    assert account.kernels == {} == account.datasets


def test_what_kaggle_broke_is_done_anew(account: State, tmp_path: Path) -> None:
    account.command = breaks("Found no NVIDIA driver on your system")
    first = put(tmp_path)
    told("collect", first["run_id"], "--wait", code=3)
    account.command = waits()
    [second] = told("resume", first["run_id"])["runs"]
    assert "checkpoints.zip" not in account.datasets[second["slug"]].files
    given = tmp_path / "home/runs" / first["run_id"] / "submitted"
    [wheel] = given.glob("*.whl")
    assert wheel.read_bytes() == account.datasets[second["slug"]].files[wheel.name]
    wheel.write_bytes(b"another")
    done = train("resume", first["run_id"])
    assert done.exit_code == 2 and "does not hold the wheel" in done.stderr
    told("cancel", second["run_id"])
    assert train("resume", second["run_id"]).exit_code == 2, "cancelled by who runs the service"


def test_logs_while_it_runs_and_cancelling(account: State, tmp_path: Path) -> None:
    account.command = breaks("step 1")
    account.command[-1] = account.command[-1].replace("exit 1", "sleep 600")
    run = put(tmp_path)
    while train("logs", run["run_id"]).stdout != "step 1\n":
        pass
    assert train("cancel", run["run_id"]).stdout == f"Run {run['run_id'][:8]} is cancelled.\n"
    assert account.kernels == {} == account.datasets
    done = train("logs", run["run_id"])
    assert done.stdout == "" and "has logged nothing yet, or nothing was kept" in done.stderr
    assert isinstance(train("cancel", run["run_id"]).exception, Conflict)


def test_what_cannot_be_done_is_a_sentence(
    account: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = str(submission(tmp_path).data)
    (tmp_path / "p.yaml").write_text("finetune: {ranks: 4}\n")
    (tmp_path / "n.ipynb").write_text("[]")
    for words, said in (
        (["submit", str(tmp_path / "none")], "has no manifest.json"),
        (["submit", data, "--params", str(tmp_path / "p.yaml")], "'ranks'"),
        (["submit", data, "--notebook", str(tmp_path / "n.ipynb")], "it has no cells"),
        (["submit", data, "--notebook", str(tmp_path)], "Is a directory"),
        (["resume", "abcdef"], "There is no run 'abcdef'"),
        (["collect", "abcdef"], "There is no run 'abcdef'"),
        (["collect", "--test-set", "shop"], "There is no test set shop"),
        (["collect", "--test-set", str(tmp_path / "t.jsonl")], "t.jsonl"),
    ):
        done = train(*words)
        assert done.exit_code == 2 and said in " ".join(done.stderr.split()), done.output
    assert isinstance(train("collect", "--wait").exception, InvalidInput)
    account.hours_used = 30
    assert isinstance(train("submit", data).exception, Unavailable)
    monkeypatch.delenv("KAGGLE_KEY")
    done = train("submit", data)
    assert done.exit_code == 2 and "KAGGLE_API_TOKEN, or KAGGLE_USERNAME" in done.stderr
    assert KEY not in done.output


def test_what_succeeded_is_published_once(
    account: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.command = leaves(finetuned(tmp_path / "model"))
    with hub_server.running(tmp_path / "hub") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        for name in ("NO_PROXY", "no_proxy"):  # the proxy to Kaggle's stand-in takes localhost
            monkeypatch.setenv(name, f"127.0.0.1,{hub.cdn}")
        monkeypatch.setenv("HF_TOKEN", "wrong")
        run = put(tmp_path)
        while told("status", run["run_id"])["state"] != "collecting":
            told("collect", "--publish", "someone/answers")
        assert run["slug"] in account.kernels, "it is not deleted before it has its place"
        monkeypatch.setenv("HF_TOKEN", hub_server.TOKEN)
        [found] = told("collect", run["run_id"], "--publish", "someone/answers")["runs"]
        assert (found["state"], found["version"]) == ("published", "someone/answers@v1")
        assert told("collect", "--publish", "someone/answers")["runs"] == []
        versions = CliRunner().invoke(app, ["models", "list"]).stdout
    assert versions.count("someone/answers@v1") == 1 and account.kernels == {}


def test_what_is_scored_is_the_base_with_its_adapter(tmp_path: Path) -> None:
    model = finetuned(tmp_path / "model")
    assert generator_of(model) == f"transformers:{PINNED}+{model}/adapter"
    local = finetuned(tmp_path / "local", facts={"base_model": "/base", "base_revision": None})
    assert generator_of(local) == f"transformers:/base+{local}/adapter"


class _Inbox(BaseHTTPRequestHandler):
    messages: ClassVar[list[dict[str, Any]]] = []
    status = 200

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        type(self).messages.append(json.loads(body))
        self.send_response(self.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def inbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Inbox]]:
    pytest.importorskip("apprise")
    _Inbox.messages, _Inbox.status = [], 200
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Inbox)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("PROMPTLY_NOTIFY", f"json://127.0.0.1:{server.server_address[1]}")
    yield _Inbox
    server.shutdown()
    server.server_close()


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
def test_people_are_told_of_starts_and_ends_each_in_its_way(
    account: State, tmp_path: Path, inbox: type[_Inbox]
) -> None:
    account.command = breaks("ValueError: x")
    run = put(tmp_path)
    inbox.status = 500
    while told("status", run["run_id"])["state"] != "failed":
        train("collect")
    inbox.status = 200
    while told("status", run["run_id"])["told"] != "failed":
        train("collect")
    account.command = breaks("Temporary failure in name resolution")
    other = put(tmp_path, "--key", "another")
    told("collect", other["run_id"], "--wait", code=3)
    titles = list(dict.fromkeys(one["title"] for one in inbox.messages))
    names = [one["run_id"][:8] for one in (run, other)]
    assert titles == [
        f"Training run {names[0]} started",
        f"Training run {names[0]} failed",
        f"Training run {names[1]} started",
        f"Training run {names[1]} was let down by its infrastructure, and may be resumed",
    ]
    assert any(one["message"].startswith("ValueError: x\n") for one in inbox.messages)
    assert inbox.messages[0]["type"] == "success" and inbox.messages[-1]["type"] == "failure"
