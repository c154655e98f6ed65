"""`promptly evaluate compare` and `report` as a user meets them: real processes and exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from model_pipeline.evaluation.scorecard_file import write
from tests.model_pipeline.evaluation.cards import make_card, make_set
from tests.promptly.commands import promptly


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cards")
    write(make_card(kept=0.4), folder / "a.json")
    write(make_card(kept=0.95, seed=1, release_id="tiny@2", bias=4.0), folder / "b.json")
    write(make_card(test_set=make_set(5)), folder / "other.json")
    return folder


def run(folder: Path, *arguments: str) -> CompletedProcess[str]:
    environment = {"PROMPTLY_HOME": str(folder / "home"), "COLUMNS": "200"}
    return promptly("evaluate", *arguments, environment=environment, folder=folder)


def error(done: CompletedProcess[str]) -> str:
    assert done.returncode == 1 and "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


def test_compare_prints_a_table_or_json_and_writes_pages(cards: Path) -> None:
    done = run(cards, "compare", "a.json", "b.json", "--html", "ab.html", "--markdown", "ab.md")
    assert done.returncode == 0, done.stderr
    assert "better" in done.stdout and "Weighted score: not given" in done.stdout
    assert (cards / "ab.html").read_text().startswith("<!doctype html>")
    assert "| **better** |" in (cards / "ab.md").read_text()
    found = json.loads(run(cards, "compare", "a.json", "b.json", "--json").stdout)
    recall = next(one for one in found["metrics"] if one["name"] == "rouge_1_recall")
    assert recall["direction"] == "better" and recall["low"] > 0 and recall["wins"] > 20


def test_report_prints_markdown_or_writes_files(cards: Path) -> None:
    done = run(cards, "report", "a.json")
    assert done.returncode == 0 and done.stdout.startswith("## Scorecard: tiny\\@1")
    done = run(cards, "report", "a.json", "--html", "a.html")
    assert (done.returncode, done.stdout) == (0, "")
    assert "Scorecard" in (cards / "a.html").read_text()


def test_what_cannot_be_done_is_one_sentence(cards: Path) -> None:
    assert "only scorecards of the same test set" in error(
        run(cards, "compare", "a.json", "other.json")
    )
    assert "There is no scorecard none.json" in error(run(cards, "report", "none.json"))
    (cards / "damaged.json").write_text((cards / "a.json").read_text()[:-20])
    assert "damaged.json is not a scorecard" in error(run(cards, "report", "damaged.json"))
    wrong = cards / "params.yaml"
    wrong.write_text("evaluation: {margin: 1}")
    assert "params.yaml" in error(run(cards, "compare", "a.json", "b.json", "--params", str(wrong)))
    assert "1 to 5" in error(run(cards, "compare", "a.json", "b.json", "--bias-a", "9"))
    missing = str(cards / "none" / "x.html")
    assert "cannot be written" in error(run(cards, "report", "a.json", "--html", missing))
