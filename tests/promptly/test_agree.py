"""`promptly evaluate agree` from a file to its table."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from model_pipeline.errors import InvalidInput
from promptly.cli.app import app

WHERE = ["Bonn", "Kiel", "Ulm", "Trier", "Jena", "Halle"]


def ratings(folder: Path) -> Path:
    """Each place is right once, and once the answer is about something else."""
    path = folder / "ratings.jsonl"
    rows = []
    for place in WHERE:
        asked = {"question": "Where is the archive?", "reference": f"The archive is in {place}."}
        rows.append({**asked, "answer": f"It is in {place}, the archive.", "rating": 5})
        rows.append({**asked, "answer": "Shares fell sharply on Friday.", "rating": 1})
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture
def home(tmp_path: Path, embedder_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "cache").symlink_to(embedder_cache)
    monkeypatch.setenv("PROMPTLY_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.mark.usefixtures("embedder")
def test_prints_how_each_metric_agrees(home: Path) -> None:
    path = str(ratings(home))
    found = CliRunner().invoke(app, ["evaluate", "agree", path, "--json"], catch_exceptions=False)
    assert found.exit_code == 0
    rating = json.loads(found.stdout)["rating"]
    assert rating["coverage"]["agreement"]["auc"]["value"] == 1
    assert rating["coverage"]["good"] == 3
    assert rating["coverage"]["beside"]["cosine"]["agreement"]["auc"]["value"] == 1
    assert rating["coverage"]["beside"]["ROUGE-L F1"]["ahead"]["auc"]["value"] == 0
    unscored = {"rows": 0, "unscored": 12, "good": 3, "agreement": None, "beside": {}}
    assert rating["faithfulness"] == unscored
    table = CliRunner().invoke(app, ["evaluate", "agree", path], catch_exceptions=False)
    assert "ROUGE-L F1" in table.stdout
    assert table.stdout.count("cosine") == 2  # of relevance and of coverage


@pytest.mark.usefixtures("embedder")
def test_a_table_of_several_ratings(home: Path) -> None:
    rows = [json.loads(line) for line in ratings(home).read_text().splitlines()]
    path = home / "ratings.csv"
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, ["question", "answer", "reference", "clear", "fluent"])
        table.writeheader()
        for row in rows:
            rating = row.pop("rating")
            table.writerow({**row, "clear": rating, "fluent": "yes" if rating > 3 else "no"})
    asked = ["evaluate", "agree", str(path), "--rating", "clear", "--rating", "fluent", "--json"]
    found = CliRunner().invoke(app, asked, catch_exceptions=False)
    printed = json.loads(found.stdout)
    assert list(printed) == ["clear", "fluent"]
    assert printed["fluent"]["coverage"]["good"] == 0.5
    assert printed["fluent"]["coverage"]["agreement"]["auc"]["value"] == 1


@pytest.mark.usefixtures("embedder")
def test_too_few_rows_are_one_sentence(home: Path) -> None:
    path = ratings(home)
    path.write_text(path.read_text().splitlines()[0])
    with pytest.raises(InvalidInput, match="1 rated answers: give 10"):
        CliRunner().invoke(app, ["evaluate", "agree", str(path)], catch_exceptions=False)
