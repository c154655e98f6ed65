"""From documents to a scorecard as a user meets it: real processes, a real database, exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from model_pipeline.store.embedded import embedded_postgres
from tests.promptly.commands import promptly

THINGS = "kettle lantern compass stove bottle jacket".split()


@pytest.fixture(scope="module")
def home(
    tmp_path_factory: pytest.TempPathFactory, embedder_cache: Path, embedder: object
) -> Iterator[Path]:
    """With its server running, so that not each command starts and stops it."""
    made = tmp_path_factory.mktemp("home")
    (made / "cache").symlink_to(embedder_cache)
    rows = [
        {
            "id": thing,
            "text": f"The {thing} of Bern is used for work number {n} on the big lake.",
            "topic": "odd" if n % 2 else "even",
        }
        for n, thing in enumerate(THINGS)
    ]
    other = [{"id": "z", "text": "The zebra of Zanzibar is used for quick deliveries of quinces."}]
    with embedded_postgres(made / "postgres"):
        for name, documents in (("shop", rows), ("zoo", other)):
            path = made / f"{name}.jsonl"
            path.write_text("".join(json.dumps(row) + "\n" for row in documents))
            assert run(made, "ingest", str(path), "-c", name).returncode == 0
        yield made


def run(home: Path, *arguments: str) -> CompletedProcess[str]:
    return promptly(*arguments, environment={"PROMPTLY_HOME": str(home), "COLUMNS": "200"})


def as_json(home: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    done = run(home, *arguments, "--json")
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


@pytest.fixture(scope="module")
def made(home: Path) -> dict[str, Any]:
    return as_json(
        home, "testset", "make", "tools", "--from", "shop", "--n", "7", "--unanswerable", "1",
        "--tag-field", "topic",
    )  # fmt: skip


def written(folder: Path, *rows: Any) -> str:
    path = folder / "predictions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_documents_to_a_scorecard_and_the_same_again(home: Path, made: dict[str, Any]) -> None:
    assert (made["manifest"]["n"], made["manifest"]["made"]["unanswerable"]) == (7, 1)
    card = as_json(home, "evaluate", "tools", "-c", "shop")
    assert (card["n"], card["failed"], card["test_set"]) == (7, 0, "tools")
    assert card["figures"]["ndcg_10"]["value"] == 1.0
    assert card["figures"]["citation_recall"]["value"] == 1.0
    assert card["figures"]["latency_p50_ms"]["value"] > 0
    path = Path(card["files"]["scorecard"])
    slices = json.loads(path.read_text())["slices"]
    topics = {one["value"]: one["n"] for one in slices if one["by"] == "topic"}
    assert topics == {"(none)": 1, "even": 3, "odd": 3}
    before = path.read_bytes()
    page = Path(card["files"]["html"]).read_bytes()
    # Nothing is asked again, and all comes out the same to the byte.
    asked = (path.parent / "predictions.jsonl").read_bytes()
    assert as_json(home, "evaluate", "tools@v1", "-c", "shop") == card
    assert path.read_bytes() == before
    assert Path(card["files"]["html"]).read_bytes() == page
    assert (path.parent / "predictions.jsonl").read_bytes() == asked
    # What was cut off is made again.
    (path.parent / "predictions.jsonl").write_bytes(asked[: len(asked) * 2 // 3])
    again = as_json(home, "evaluate", "tools", "-c", "shop")
    assert (again["n"], again["failed"]) == (7, 0)
    # The run's own file scores as one that was made elsewhere.
    scored = as_json(
        home, "evaluate", "tools", "--predictions", str(path.parent / "predictions.jsonl")
    )
    assert scored["release_id"] == card["release_id"]
    assert scored["figures"]["bleu_4"] == again["figures"]["bleu_4"]


def test_bad_predictions_are_named_counted_and_told_by_the_exit_code(
    home: Path, made: dict[str, Any], tmp_path: Path
) -> None:
    examples = as_json(home, "testset", "show", "tools")["examples"]
    ids = [one["id"] for one in examples if one.get("answerable")]
    file = written(
        tmp_path,
        {"id": ids[0], "answer": ""},
        {"id": ids[1], "answer": float("nan")},
        {"id": ids[2], "answer": "商店九点开门，星期天整天不营业，请您周一再来。"},
        {"id": ids[3], "answer": "word " * 200_000},
        {"id": ids[4], "answer": "x", "latency_ms": float("nan")},
    )
    card = as_json(home, "evaluate", "tools", "--predictions", file, code=1)
    counted = {one["name"]: one["count"] for one in card["failures"]}
    assert counted["The answer is empty."] == 1
    assert counted["The prediction's answer is no text but NaN."] == 1
    assert counted["The answer is in another language than English."] == 1
    assert counted["There is no prediction for this example."] == 2
    assert any("500,000 characters" in name for name in counted)
    assert card["failed"] == 7
    done = run(home, "evaluate", "tools", "--predictions", file, "--max-failures", "7")
    assert done.returncode == 0, done.stderr
    assert "failed: The answer is empty. (1:" in done.stdout


def test_missing_references_are_told(home: Path, tmp_path: Path) -> None:
    questions = tmp_path / "bare.jsonl"
    questions.write_text('{"id": "a", "question": "What is the kettle of Bern used for?"}\n')
    file = written(tmp_path, {"id": "a", "answer": "For work."})
    card = as_json(home, "evaluate", str(questions), "--predictions", file, code=1)
    assert {"name": "no reference is given", "count": 1, "ids": ["a"]} in card["failures"]


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([], "holds no predictions"),
        ([{"id": "nobody", "answer": "x"}], "1 predictions are of examples that tools does not"),
        ([{"answer": "x"}], "row 1: A prediction needs the id"),
    ],
)
def test_bad_input_is_one_sentence_and_2(
    home: Path, made: dict[str, Any], tmp_path: Path, rows: list[Any], problem: str
) -> None:
    done = run(home, "evaluate", "tools", "--predictions", written(tmp_path, *rows))
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert problem in line
    assert run(home, "evaluate", "nothing").returncode == 2
    assert run(home, "evaluate", "tools", "-c", "nothing").returncode == 2


def test_unanswerable_questions_need_another_collection(home: Path, tmp_path: Path) -> None:
    """The first has one to make them of, and the second is alone."""
    command = ("testset", "make", "alone", "--n", "3", "--from")
    assert "were wanted" not in run(home, *command, "shop", "--unanswerable", "1").stdout
    with embedded_postgres(tmp_path / "postgres"):
        (tmp_path / "cache").symlink_to(home / "cache")
        assert run(tmp_path, "ingest", str(home / "shop.jsonl"), "-c", "shop").returncode == 0
        done = run(tmp_path, *command, "shop", "--unanswerable", "2")
    assert done.returncode == 0, done.stderr
    assert "2 unanswerable ones were wanted: they are made of other collections'" in done.stdout


def test_import_draft_freeze_list_and_check(home: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"frage": "When does the shop in Bern open?", "soll": "At nine."}\n' * 1)
    arguments = ("--question-field", "frage", "--reference-field", "soll")
    drafted = as_json(home, "testset", "import", "mine", str(rows), *arguments, "--draft")
    assert Path(drafted["draft"]).exists()
    assert as_json(home, "testset", "freeze", "mine")["manifest"]["version"] == 1
    again = as_json(home, "testset", "import", "mine", str(rows), *arguments)
    assert again["manifest"]["version"] == 1
    listed = as_json(home, "testset", "list")["test_sets"]
    assert ("mine", 1) in {(one["name"], one["version"]) for one in listed}
    training = tmp_path / "training.jsonl"
    row = {"messages": [{"role": "user", "content": "Hi. When does the shop in Bern open??"}]}
    training.write_text(json.dumps(row) + "\n")
    found = as_json(home, "testset", "check", "mine", "--against", str(training), code=1)
    assert [one["part"] for one in found["leaks"]] == ["question"]
    training.write_text('{"text": "Something else altogether, about tents."}\n')
    assert as_json(home, "testset", "check", "mine", "--against", str(training))["leaks"] == []
    done = run(home, "testset", "make", "none", "--feedback")
    assert done.returncode == 1
    assert "No answer was liked or corrected yet" in done.stderr
