"""Bad input to `promptly evaluate`: a failure by name with a count, or one sentence of refusal."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.promptly.evaluations import Evaluations, as_json, evaluations

NAN, INFINITY = math.nan, math.inf
QUESTIONS = [
    {"id": "a", "question": "Where is the moon in the evening?", "answer": "It is in the sky."},
    {"id": "b", "question": "When does the shop open?", "answer": "It opens at nine."},
    {"id": "c", "question": "Who is the mayor of the town?", "answerable": False},
]
GOOD = [
    {"id": "a", "answer": "In the sky.", "latency_ms": 12},
    {"id": "b", "answer": "At nine.", "latency_ms": 13},
    {"id": "c", "answer": "This is not in the documents.", "declined": True, "latency_ms": 9},
]
CHINESE = "商店九点开门，星期天整天不营业，请您周一再来。"
TOO_LONG_TO_JUDGE = "It has more than 20,000 characters: judge it in parts."
VAST = "word " * 200_000  # 1 MB


@pytest.fixture
def work(
    module_database: str, embedder: object, embedder_cache: Path, tmp_path: Path
) -> Evaluations:
    made = evaluations(tmp_path, module_database, embedder_cache)
    made.write("questions.jsonl", QUESTIONS)
    made.write("answers.jsonl", GOOD)
    return made


def command(*more: str) -> tuple[str, ...]:
    return ("evaluate", "questions.jsonl", "--predictions", "answers.jsonl", *more)


def with_first(**changed: Any) -> list[dict[str, Any]]:
    return [{**GOOD[0], **changed}, *GOOD[1:]]


def with_all(**changed: Any) -> list[dict[str, Any]]:
    return [{**one, **changed} for one in GOOD]


TOO_LONG = "a text of over 500,000 characters or 50,000 words"
ANSWER_TOO_LONG = "the answer over 250,000 characters or 2,000 sentences"
NOT_A_TIME = "its latency is not a time"
UNTIMED = "there is no answer to time"
NAMED: dict[str, tuple[list[dict[str, Any]], dict[str, int]]] = {
    "an empty answer": (with_first(answer=""), {"The answer is empty.": 1}),
    "blank answers": (with_all(answer=" \n\t", declined=False), {"The answer is empty.": 2}),
    "no answer": (
        [{"id": "a", "latency_ms": 1}, *GOOD[1:]],
        {"The prediction has no answer.": 1, UNTIMED: 1},
    ),
    "null as an answer": (
        with_first(answer=None), {"The prediction has no answer.": 1, UNTIMED: 1},
    ),
    "NaN as an answer": (
        with_first(answer=NAN), {"The prediction's answer is no text but NaN.": 1, UNTIMED: 1},
    ),
    "a list as an answer": (
        with_first(answer=["x"]),
        {"The prediction's answer is no text but list.": 1, UNTIMED: 1},
    ),
    "an error": (
        with_first(answer="", error="It broke."), {"It broke.": 1, UNTIMED: 1},
    ),
    "missing predictions": (
        GOOD[:1], {"There is no prediction for this example.": 2, UNTIMED: 2},
    ),
    "NaN as a latency": (with_first(latency_ms=NAN), {NOT_A_TIME: 1}),
    "every latency NaN": (with_all(latency_ms=NAN), {NOT_A_TIME: 3}),
    "an endless latency": (with_first(latency_ms=INFINITY), {NOT_A_TIME: 1}),
    "a negative latency": (with_first(latency_ms=-1), {NOT_A_TIME: 1}),
    "a latency in words": (with_first(latency_ms="fast"), {NOT_A_TIME: 1}),
    "some without a latency": (
        with_first(latency_ms=None), {"nobody measured how long it took": 1},
    ),
    "another language": (
        with_first(answer=CHINESE),
        {"The answer is in another language than Latin or English.": 1, UNTIMED: 1},
    ),
    "1 MB": (with_first(answer=VAST), {TOO_LONG: 1, ANSWER_TOO_LONG: 1, TOO_LONG_TO_JUDGE: 1}),
    "all of 1 MB": (
        with_all(answer=VAST, declined=False),
        {TOO_LONG: 2, ANSWER_TOO_LONG: 3, TOO_LONG_TO_JUDGE: 3},
    ),
    "6 MB": (
        with_first(answer="word " * 1_200_000),
        {"The answer has over 5,000,000 characters.": 1, UNTIMED: 1},
    ),
    "passages that are none": (
        with_first(passages=[{"content": "x"}]),
        {"A passage of the prediction has no source.": 1, UNTIMED: 1},
    ),
    "citations that are no list": (
        with_first(citations="x"),
        {"The prediction's citations are no list.": 1, UNTIMED: 1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NAMED)
def test_is_a_failure_by_name_and_tells_by_the_exit_code(work: Evaluations, case: str) -> None:
    rows, failures = NAMED[case]
    work.write("answers.jsonl", rows)
    card = as_json(work.run(*command("--json")), 1)
    assert {one["name"]: one["count"] for one in card["failures"]} == failures
    scorecard = json.loads(Path(card["files"]["scorecard"]).read_bytes())
    told = {
        one["name"]: one["count"]
        for part in (scorecard, *scorecard["metrics"])
        for one in part["failures"]
    }
    assert told.items() >= failures.items()


def test_so_many_failures_may_be_allowed(work: Evaluations) -> None:
    work.write("answers.jsonl", with_all(answer="", declined=False))
    for allowed, code in ((1, 1), (2, 0)):
        done = work.run(*command("--max-failures", str(allowed)))
        assert done.returncode == code, done.stderr
        assert "failed: The answer is empty. (2: a, b)" in done.stdout


def test_missing_references_are_counted(work: Evaluations) -> None:
    work.write("questions.jsonl", [{**QUESTIONS[0], "answer": ""}, *QUESTIONS[1:]])
    card = as_json(work.run(*command("--json")), 1)
    # The other has a reference and no passages are given: what fails is this one's alone.
    assert {one["name"]: one["ids"] for one in card["failures"]} == {
        "no reference is given": ["a"],
        "neither a reference nor passages": ["a"],
    }


def test_good_input_fails_nothing_and_strange_texts_are_texts(work: Evaluations) -> None:
    strange = "In the sky\x00\ud800\u202e <script>alert(1)</script> \x1b[31m {{ 7*7 }} | `x` it is."
    work.write("answers.jsonl", with_first(answer=strange))
    done = work.run(*command())
    assert done.returncode == 0, done.stderr
    assert "\x1b[31m" not in done.stdout
    card = as_json(work.run(*command("--json")))
    page = Path(card["files"]["html"]).read_text("utf-8")
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page and "{{ 7*7 }}" in page
    rows = json.loads(Path(card["files"]["scorecard"]).read_bytes())["examples"]
    assert rows[0]["answer"] == strange


ROW = {"id": "a", "answer": "x"}
REFUSED: dict[str, tuple[str, str | bytes, str]] = {
    "no predictions": ("answers.jsonl", "", "holds no predictions"),
    "unknown ids": (
        "answers.jsonl", json.dumps({**ROW, "id": "z"}), "that questions does not have, z among",
    ),
    "one id twice": (
        "answers.jsonl", f"{json.dumps(ROW)}\n{json.dumps(ROW)}\n", "two predictions for the",
    ),
    "no id": ("answers.jsonl", '{"answer": "x"}', "row 1: A prediction needs the id"),
    "NaN as an id": ("answers.jsonl", '{"id": NaN, "answer": "x"}', "row 1: A prediction needs"),
    "no JSON": ("answers.jsonl", '{"id": "a"\n', "line 1 is not JSON"),
    "no object": ("answers.jsonl", '["a"]\n', "row 1: A prediction is an object"),
    "deep JSON": ("answers.jsonl", "[" * 100_000, "line 1 is not JSON"),
    "no UTF-8": ("answers.jsonl", b'{"id": "\xff"}\n', "is not UTF-8"),
    "no questions": ("questions.jsonl", "", "The test set questions is empty"),
    "no question": ("questions.jsonl", '{"id": "a"}\n', "row 1 has no question"),
    "one question twice": (
        "questions.jsonl", f"{json.dumps(QUESTIONS[0])}\n" * 2, "two examples with the id a",
    ),
    "NaN as a question": ("questions.jsonl", '{"id": "a", "question": NaN}', "that is no text"),
    "a grade that is none": (
        "questions.jsonl", '{"question": "Where?", "relevant": {"x": NaN}}', "no number",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused_in_one_sentence_with_2(work: Evaluations, case: str) -> None:
    name, content, said = REFUSED[case]
    path = work.folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = work.run(*command("--json"))
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("Error: ") and said in line
    assert not (work.folder / "home" / "evaluations").exists()


@pytest.mark.parametrize("given", ["missing.jsonl", "."])
def test_a_file_that_is_none_is_refused(work: Evaluations, given: str) -> None:
    path = str(work.folder / given)
    done = work.run("evaluate", "questions.jsonl", "--predictions", path)
    assert done.returncode == 2
    assert "cannot be read" in " ".join(done.stderr.split())
