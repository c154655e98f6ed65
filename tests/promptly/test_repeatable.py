"""The same answers give the same bytes, whatever the machine's circumstances."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

FILES = ("scorecard.json", "report.html", "report.md")
PLAIN = {
    "PYTHONHASHSEED": "0",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "OPENBLAS_NUM_THREADS": "1",
    "PROMPTLY_THREADS": "1",
}
OTHERWISE = {
    "PYTHONHASHSEED": "4711",
    "LC_ALL": "C",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "TZ": "Asia/Kathmandu",
    "OPENBLAS_NUM_THREADS": "2",
    "PROMPTLY_THREADS": "2",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred examples and more, some of whose sentences are longer than the kernel takes."""
    folder = tmp_path_factory.mktemp("facts")
    draw = random.Random(5)
    things = "kettle lantern compass stove bottle jacket rope whistle İğne Straße 水壶".split()
    rows, answers = [], []
    for n in range(130):
        thing, other = draw.sample(things, 2)
        long = ", ".join(draw.choice(things) for _ in range(90 if n % 7 == 0 else 5))
        fact = f"The {thing} of place {n} is kept beside {long}, and weighs {n} kg."
        rows.append(
            {
                "id": f"e{n}",
                "question": f"What is known of the {thing} of place {n}?",
                "references": [fact],
                "relevant": {f"s{n}": 1},
                "answerable": n % 9 != 0,
                "tags": {"topic": thing, "language": "en"},
            }
        )
        said = fact.replace(thing, other) if n % 4 == 0 else fact[: 40 + n]
        passages = [{"source": f"s{m}", "content": f"{fact} Note {m}."} for m in (n, n + 1)]
        answers.append(
            {
                "id": f"e{n}",
                "answer": "" if n % 11 == 0 else said,
                "declined": n % 11 == 0,
                "passages": passages,
                "citations": [{"source": f"s{n}", "quote": fact[:20]}],
                "latency_ms": draw.gammavariate(4, 60),
            }
        )
    for name, some in (("set", rows), ("answers", answers), ("turned", answers[::-1])):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in some)
        (folder / f"{name}.jsonl").write_text(text, "utf-8")
    return folder


def scored(
    files: Path, folder: Path, cache: Path, answers: str, around: dict[str, str], *, cores: int
) -> dict[str, bytes]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.promptly.scored", str(files / "set.jsonl"),
         str(files / f"{answers}.jsonl"), str(folder)],
        env={**os.environ, **around, "PROMPTLY_HOME": str(cache.parent)},
        preexec_fn=lambda: os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores]),
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.fixture
def cache(tmp_path: Path, embedder_cache: Path, embedder: object) -> Path:
    return new_cache(tmp_path / "home", embedder_cache)


def new_cache(home: Path, embedder_cache: Path) -> Path:
    """With the embedder's graph and kernel, and nothing of what was scored."""
    made = home / "cache"
    made.mkdir(parents=True)
    for one in embedder_cache.iterdir():
        if not one.name.endswith((".sqlite", ".sqlite-wal", ".sqlite-shm")):
            (made / one.name).symlink_to(one)
    return made


def test_scorecards_are_the_same_bytes_whatever_is_around(
    files: Path, cache: Path, tmp_path: Path, embedder_cache: Path
) -> None:
    """Hash seed, locale, time zone, threads, processes, the order of the answers; with the caches
    of the run before, and without."""
    other = new_cache(tmp_path / "other", embedder_cache)
    first = scored(files, tmp_path / "a", cache, "answers", PLAIN, cores=1)
    assert scored(files, tmp_path / "b", other, "turned", OTHERWISE, cores=2) == first
    assert scored(files, tmp_path / "c", cache, "turned", OTHERWISE, cores=2) == first
    card = json.loads(first["scorecard.json"])
    assert (card["test_set"]["n"], len(card["failures"])) == (130, 0)
    assert {one["by"] for one in card["slices"]} >= {"topic", "answerability"}


def test_an_answer_scores_the_same_whatever_else_is_scored(
    files: Path, cache: Path, tmp_path: Path, embedder_cache: Path
) -> None:
    """The embedder's int8 graph would make it depend on its neighbours."""
    rows = (files / "set.jsonl").read_text("utf-8").splitlines(keepends=True)
    answers = (files / "answers.jsonl").read_text("utf-8").splitlines(keepends=True)
    (tmp_path / "set.jsonl").write_text("".join(rows[::5]), "utf-8")
    (tmp_path / "answers.jsonl").write_text("".join(answers[::5]), "utf-8")
    other = new_cache(tmp_path / "other", embedder_cache)
    whole = scored(files, tmp_path / "a", cache, "answers", PLAIN, cores=2)
    part = scored(tmp_path, tmp_path / "b", other, "answers", PLAIN, cores=2)
    values = {one["id"]: one["values"] for one in json.loads(whole["scorecard.json"])["examples"]}
    few = json.loads(part["scorecard.json"])["examples"]
    assert len(few) == 26
    assert all(one["values"] == values[one["id"]] for one in few)
