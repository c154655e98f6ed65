"""The workflows: each step is one command that is there, with what it is given, and no more rights
than it needs."""

from __future__ import annotations

import os
import re
import shlex
import string
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
        assert "permissions" not in job and job["timeout-minutes"] <= 60
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
