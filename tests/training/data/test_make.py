"""Training data whole: the same bytes again, nothing twice, nothing of a test set, nothing half."""

from __future__ import annotations

import hashlib
import json
import random
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model_pipeline.errors import Conflict, InvalidInput
from model_pipeline.evaluation.examples import Example
from model_pipeline.evaluation.leaks import Index, texts
from model_pipeline.evaluation.questions import questions
from model_pipeline.material import StoredPassage
from tests.training.data.making import World, material, passages, rated_row, sentence
from training import manifest
from training.data.files import require_rows
from training.data.make import Made, Wanted, make
from training.learning import examples

SHOP = list(passages(60, ("garden", "shop")))
PEOPLE = [
    rated_row("How long does tool 3 last?", "The Dario kettle 3 keeps stoves warm for 6 days."),
    rated_row("Where was tool 4 noted?", "Nobody knows.", corrected="It was written on page 4.",
              rating="down", collection=None),
    rated_row("Who invented the moon?", "This is not in the documents.", declined=True),
    rated_row("Who is ann@example.org?", "She wrote page 7."),
    rated_row("What colour has tool 5?", "Tool 5 is of purple velvet."),
]  # fmt: skip


def made(
    out: Path, stored: list[StoredPassage] = SHOP, people: Any = (), tests: Any = (), **more: Any
) -> Made:
    world = World(sorted(stored, key=lambda one: one.source))
    wanted = Wanted(**({"validation": 0.2} | more))
    return make(material(stored, people, tests), world.tools, wanted, out)


def read(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {
        side: [json.loads(line) for line in (folder / f"{side}.jsonl").read_text().splitlines()]
        for side in ("train", "validation")
    }


def question(row: dict[str, Any]) -> str:
    return str(row["prompt"][-1]["content"]).rsplit("Question: ", 1)[1]


def test_rows_on_two_sides_that_share_no_document(tmp_path: Path) -> None:
    found = made(tmp_path / "data", people=PEOPLE)
    rows = read(found.folder)
    train, held = ({one for row in rows[side] for one in row["documents"]} for side in rows)
    assert len(held) >= 6 and len(train) >= 30 and not train & held
    every = rows["train"] + rows["validation"]
    assert len({row["id"] for row in every}) == len(every) == found.counts.rows()
    assert len({question(row) for row in every}) == len(every)
    assert {row["source"] for row in every} == {"corpus", "liked", "corrected"}
    assert found.counts.left_out["personal"] == 1 and found.counts.left_out["unsupported"] == 1
    answers = [row["completion"][0]["content"] for row in every]
    declined = sum(one == "This is not in the documents." for one in answers)
    assert 0.05 < declined / len(every) < 0.25
    assert any(one.startswith("It was written on page 4 [") for one in answers)


def test_the_manifest_tells_what_is_there_and_the_hash_is_of_the_rows(tmp_path: Path) -> None:
    found = made(tmp_path / "data")
    facts = manifest.read(found.folder)
    assert manifest.verify(found.folder) == []
    content = b"".join((found.folder / f"{s}.jsonl").read_bytes() for s in ("train", "validation"))
    assert facts["hash"] == found.hash == hashlib.sha256(content).hexdigest()
    rows = read(found.folder)
    assert facts["counts"]["train"] == len(rows["train"])
    assert facts["counts"]["rows"] == len(rows["train"]) + len(rows["validation"])
    assert facts["counts"]["sources"] == {"corpus": facts["counts"]["rows"]}
    assert facts["prompt"] == "told-1-abc" and facts["format"] == 1
    assert set(facts["files"]) == {"train.jsonl", "validation.jsonl", "README.md", "card.html"}


def test_a_fine_tune_reads_it(tmp_path: Path) -> None:
    found = made(tmp_path / "data", people=PEOPLE)
    data = examples.read(found.folder)
    assert (len(data.train), len(data.validation)) == (
        found.counts.rows("train"), found.counts.rows("validation"),
    )  # fmt: skip
    assert data.hash == found.hash
    assert all(one.prompt[-1]["role"] == "user" and one.completion for one in data.train)


def test_the_same_material_in_any_order_is_the_same_bytes(tmp_path: Path) -> None:
    first = made(tmp_path / "first", people=PEOPLE, n=40)
    shuffled, people = list(SHOP), list(PEOPLE)
    random.Random(1).shuffle(shuffled)
    random.Random(1).shuffle(people)
    second = made(tmp_path / "second", shuffled, people, n=40)
    for name in (*manifest.read(first.folder)["files"], "manifest.json"):
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes(), name
    assert made(tmp_path / "third", people=PEOPLE, n=40, seed=1).hash != first.hash


def test_nothing_of_any_test_set_is_in_it(tmp_path: Path) -> None:
    (asked,) = questions(sentence(8))
    examples = [
        Example("a", asked.question.upper()),
        Example("b", "Something else?", (sentence(21).lower(),)),
        Example("c", "How long does tool 3 last??"),
    ]
    before = read(made(tmp_path / "before", people=PEOPLE).folder)
    index = Index(examples)

    def leaks(rows: Any) -> set[str]:
        return {one.example_id for row in rows for one in index.leaks(texts(row, ""))}

    assert leaks(before["train"] + before["validation"]) == {"a", "b", "c"}
    found = made(tmp_path / "after", people=PEOPLE, tests=examples)
    after = read(found.folder)
    assert leaks(after["train"] + after["validation"]) == set()
    assert found.counts.left_out["leaked"] == 3
    assert len(manifest.read(found.folder)["test_sets"]) == 1


def test_what_is_nearly_the_same_is_there_once(tmp_path: Path) -> None:
    copies = [
        replace(one, source=f"copy of {one.source}", content=one.content.replace("some", "some "))
        for one in SHOP[:30]
    ]
    found = made(tmp_path / "data", SHOP + copies)
    rows = read(found.folder)
    said = Counter(question(row) for row in rows["train"] + rows["validation"])
    assert set(said.values()) == {1} and len(said) > 40


def test_as_many_as_are_wanted_balanced(tmp_path: Path) -> None:
    stored = list(passages(40, ("small",))) + list(passages(150, ("big",)))[40:]
    found = made(tmp_path / "data", stored, n=60)
    assert found.counts.rows() == 60
    assert min(found.counts.by("collection").values()) >= 25


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"stored": []}, "There is nothing to learn from yet"),
        ({"stored": [StoredPassage("a", "a", "Nur Deutsch.")]}, "Not one question .* in English"),
        ({"stored": SHOP[:4]}, r"Only [0-4] rows .* 10 at least"),
        ({"n": 9}, "9 rows are too few"),
        ({"validation": 0.6}, "give one from 0 to 0.5"),
        (
            {"tests": [Example(str(n), f"{n}?", (sentence(n),)) for n in range(60)]},
            "All 60 questions .* stand in a frozen test set",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, given: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidInput, match=says) as caught:
        made(tmp_path / "data", **given)
    assert "\n" not in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_a_single_document_cannot_be_split(tmp_path: Path) -> None:
    content = " ".join(sentence(n) for n in range(12))
    with pytest.raises(InvalidInput, match=r"Not one of 1. rows is left for validation"):
        made(tmp_path / "data", [StoredPassage("a", "one.md", content)])
    found = made(tmp_path / "data", [StoredPassage("a", "one.md", content)], validation=0)
    assert found.counts.rows("validation") == 0
    assert (found.folder / "validation.jsonl").read_bytes() == b""


def test_a_failure_on_the_way_leaves_what_was_there(tmp_path: Path) -> None:
    found = made(tmp_path / "data")
    before = {path.name: path.read_bytes() for path in found.folder.iterdir()}
    world = World(SHOP)

    def dies(wanted: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(material(SHOP), replace(world.tools, find=dies), Wanted(), tmp_path / "data")
    assert {path.name: path.read_bytes() for path in found.folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    again = made(tmp_path / "data", seed=3)
    assert again.hash != found.hash and manifest.verify(tmp_path / "data") == []
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_what_a_killed_process_left_is_swept_away(tmp_path: Path) -> None:
    """That of one that lives is not."""
    for process in ("999999999", "1", "x"):
        (tmp_path / f".data.{process}.part").mkdir()
    made(tmp_path / "data")
    assert {path.name for path in tmp_path.iterdir()} == {"data", ".data.1.part", ".data.x.part"}


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.txt").write_text("years of work")
    with pytest.raises(Conflict, match="holds something else than training data"):
        made(tmp_path / "data")
    assert (tmp_path / "data" / "thesis.txt").read_text() == "years of work"
    (tmp_path / "file").write_text("x")
    with pytest.raises(Conflict):
        made(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    require_rows(made(tmp_path / "empty").folder)


def test_the_page_holds_no_script_and_nobodys_markup(tmp_path: Path) -> None:
    stored = [replace(one, collection="<script>alert(1)</script>|x") for one in SHOP]
    found = made(tmp_path / "data", stored)
    page, card = ((found.folder / name).read_text() for name in ("card.html", "README.md"))
    assert "<script" not in page + card and "&lt;script&gt;" in page
    assert "default-src 'none'" in page and page.count("<svg") > 8
    assert card.startswith("---\n") and "path: train.jsonl" in card
    assert f"`{found.hash}`" in card and found.hash[:12] in page


def test_memory_follows_the_questions_and_not_the_passages(tmp_path: Path) -> None:
    """Passages of a hundred thousand characters each, none of which stays."""

    def long(many: int) -> Iterator[StoredPassage]:
        for one in passages(many):
            yield replace(one, content=f"{one.content}\n{'x' * 100_000}")

    world = World(list(passages(400)))
    tracemalloc.start()
    try:
        wanted = replace(material([]), passages=long(400))
        found = make(wanted, world.tools, Wanted(n=100), tmp_path / "data")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.counts.rows() == 100
    assert peak < 400 * 100_000 / 4
