"""`promptly bias score` and `validate` as a user meets them: real processes, files, exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bias.rubric import rubric
from bias.verdict_rows import to_row
from bias.verdicts import Verdict
from rag_service.generate.transformers_teller import TransformersTeller
from rag_service.generate.transformers_writer import Weights
from rag_service.generate.writer import Message
from tests.bias.lexicon import LexiconJudge
from tests.language_models import make_language_model
from tests.promptly.commands import promptly, started
from tests.servers import openai_compatible
from tests.servers.openai_compatible import Endpoint

FENCED = re.compile(r"<text-(\w{12})>\n(.*)\n</text-\1>", re.DOTALL)
SLOW_S = 0.02


def lexical(messages: list[Message]) -> str:
    """What a model that goes by words says of the text in the prompt."""
    found = FENCED.search(messages[0].content)
    assert found
    verdict = LexiconJudge().judge([found[2]])[0]
    assert isinstance(verdict, Verdict)
    row = to_row(verdict)
    quotes = [one["quote"] for one in row["evidence"]]
    said = {"level": str(row["level"]), "dimension": "none", "evidence": quotes, "reason": "Words."}
    return json.dumps(said)


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    folder = make_language_model(tmp_path_factory.mktemp("models") / "tiny", says="Well.")
    with openai_compatible.running(Endpoint(TransformersTeller(Weights(str(folder))))) as endpoint:
        yield endpoint


@pytest.fixture
def endpoint(serving: Endpoint) -> Endpoint:
    serving.asked.clear()
    serving.scripted = lexical
    return serving


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    home = {"PROMPTLY_HOME": str(folder / "home"), "COLUMNS": "200"}
    return promptly("bias", *arguments, environment=home)


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


def test_texts_become_json_lines(endpoint: Endpoint, tmp_path: Path) -> None:
    done = run(tmp_path, "score", "They are vermin.", "A fine day.", "--judge", endpoint.spec)
    assert done.returncode == 0, done.stderr
    first, second = rows(done.stdout)
    assert (first["n"], first["level"], first["evidence"][0]["quote"]) == (1, 3, "vermin")
    assert second["level"] == 5 and math_sum(second) == 1.0
    assert rubric().signature in second["judge"]


def test_the_local_judge_is_the_one_that_judges(tmp_path: Path) -> None:
    done = run(tmp_path, "score", "These people are vermin.", "The library opens at nine.")
    assert done.returncode == 0, done.stderr
    harmful, fair = rows(done.stdout)
    assert harmful["level"] <= 2 and harmful["evidence"] and fair["level"] == 5
    assert harmful["judge"] == fair["judge"] and harmful["judge"].startswith("local:")


def math_sum(row: dict[str, Any]) -> float:
    return float(sum(row["probabilities"]))


def test_what_has_no_verdict_is_a_row_and_an_exit_status(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.scripted = lambda messages: (
        "Hm." if "odd" in messages[0].content else lexical(messages)
    )
    (tmp_path / "texts.jsonl").write_text('{"a": "fine"}\n{"a": "odd"}\n{"a": ""}\n')
    out = tmp_path / "verdicts.jsonl"
    arguments = "--file", str(tmp_path / "texts.jsonl"), "--field", "a", "--judge", endpoint.spec
    done = run(tmp_path, "score", *arguments, "--out", str(out))
    assert done.returncode == 1 and "2 of 3 texts have no verdict" in one_line(done)
    assert [row.get("unjudged") for row in rows(out.read_text())] == [
        None,
        "the judge's verdict could not be read",
        "The text is empty.",
    ]


def test_a_run_that_is_killed_goes_on(endpoint: Endpoint, tmp_path: Path) -> None:
    texts = [f"Text {n} is {'stupid' if n % 2 else 'fine'}." for n in range(400)]
    (tmp_path / "texts.jsonl").write_text("\n".join(json.dumps({"text": one}) for one in texts))

    def slow(messages: list[Message]) -> str:
        time.sleep(SLOW_S)
        return lexical(messages)

    endpoint.scripted = slow
    out = tmp_path / "verdicts.jsonl"
    command = ["score", "--file", str(tmp_path / "texts.jsonl"), "--judge", endpoint.spec]
    environment = {"PROMPTLY_HOME": str(tmp_path / "home")}
    killed = started("bias", *command, "--out", str(out), environment=environment)
    while not (out.exists() and out.stat().st_size > 10_000):
        assert killed.is_alive()
        time.sleep(0.02)
    killed.kill()
    killed.join()
    before = len(endpoint.asked)
    assert before < 400
    endpoint.scripted = lexical
    done = run(tmp_path, *command, "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert [row["text"] for row in rows(out.read_text())] == texts
    # What was under way when it was killed is asked again, and little else.
    assert 400 <= len(endpoint.asked) <= 400 + 64


def labelled(folder: Path) -> Path:
    path = folder / "labels.csv"
    north, south = (
        '"{}: they are vermin and filth.",hate,north\n',
        '"Shop {} is shut.",fine,south\n',
    )
    lines = [one.format(n) for n in range(30) for one in (north, south)]
    path.write_text("comment,verdict,who\n" + "".join(lines))
    return path


def test_a_label_set_of_ones_own_is_validated_and_reported(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    arguments = (
        "validate", "--labels", str(labelled(tmp_path)), "--text-field", "comment",
        "--label-field", "verdict", "--group-field", "who", "--harmful-value", "hate",
        "--judge", endpoint.spec, "--sample", "40", "--out", str(tmp_path / "report"),
    )  # fmt: skip
    done = run(tmp_path, *arguments, "--json")
    found = json.loads(done.stdout)
    assert done.returncode == (0 if found["met"] else 1), done.stderr
    assert found["sets"][0]["whole"]["auc"]["value"] == 1.0
    assert set(found["sets"][0]["groups"]) == {"north", "south"}
    files = {path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()}
    assert set(files) == {"validation.json", "validation.md", "validation.html"}
    assert json.loads(files["validation.json"]) == found
    asked = len(endpoint.asked)
    done = run(tmp_path, *arguments)
    assert "labels: share judged" in done.stdout and "Report:" in done.stdout
    assert {path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()} == files
    # Verdicts are kept; what is asked twice on purpose is not.
    assert len(endpoint.asked) - asked <= 40


def test_a_missed_bar_is_an_exit_status(endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "rated.jsonl").write_text(
        "\n".join(json.dumps({"text": f"Text {n}.", "label": 1 + n % 5}) for n in range(40))
    )
    done = run(
        tmp_path, "validate", "--labels", str(tmp_path / "rated.jsonl"), "--judge", endpoint.spec,
        "--sample", "40",
    )  # fmt: skip
    assert done.returncode == 1 and "MISSED" in done.stdout
    assert "rated: kappa" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("score",), 2, "Give texts, or a file of them"),
        (("score", "a", "--file", "b.jsonl"), 2, "Give texts, or a file of them"),
        (("score", "--file", "none.jsonl"), 2, "none.jsonl cannot be read"),
        (("score", "a", "--judge", "oracle"), 2, "There is no judge 'oracle'"),
        (("validate", "--labels", "none.csv"), 2, "none.csv cannot be read"),
        (("validate", "--scale", "five"), 2, "--scale is 'five'"),
        (("validate", "--data", "nowhere"), 2, "toxigen_dev_even.jsonl"),
        (("validate", "--teacher", "mpnet"), 2, "--teacher is of --leave-groups-out"),
    ],
)
def test_what_is_asked_wrongly_is_one_sentence(
    arguments: tuple[str, ...], status: int, said: str, tmp_path: Path
) -> None:
    done = run(tmp_path, *arguments)
    assert done.returncode == status and said in one_line(done)
