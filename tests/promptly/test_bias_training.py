"""What judges read that are trained without a group: the ratings they are given, and no others.
Training itself takes minutes, and has tests of its own."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp

import pytest

from bias.labels import Fields, Labelled, read_labels
from bias.local.examples import RATED, part, rated
from promptly.bias_training import key_of, lay_out, made_once
from tests.promptly.commands import promptly

ROWS = [
    Labelled(f"Text {n} of {group}.", 1.0 + n % 5, n % 5 < 2, (group, "all"))
    for n in range(40)
    for group in ("welsh", "danes")
]


def test_training_reads_the_rows_it_is_given_and_the_other_sets(tmp_path: Path) -> None:
    data, folder = tmp_path / "data", tmp_path / "some"
    folder.mkdir()
    (data / "bbq").mkdir(parents=True)
    (data / RATED).parent.mkdir()
    (data / RATED).write_text("the ratings of all groups")
    lay_out(folder, [row for row in ROWS if "danes" not in row.groups], data)
    found = [one for which in ("train", "calibration", "test") for one in rated(folder, which)]
    assert {(one.text, one.level, one.groups) for one in found} == {
        (row.text, row.rating, row.groups) for row in ROWS if row.groups[0] == "welsh"
    }
    assert (folder / "bbq").resolve() == data / "bbq"


def test_what_is_tested_was_not_trained_on(tmp_path: Path) -> None:
    """The parts that `validate` and training take are of one hash."""
    lay_out(tmp_path, ROWS, _nothing(tmp_path))
    fields = Fields("text", "toxicity_score", "target_groups", (5, 1))
    tested = {
        row.text for row in read_labels(tmp_path / RATED, fields).rows if part(row.text) == "test"
    }
    learnt = {one.text for which in ("train", "calibration") for one in rated(tmp_path, which)}
    assert tested and learnt and not tested & learnt and len(tested | learnt) == len(ROWS)


def test_a_judge_is_made_once_and_whole(tmp_path: Path) -> None:
    path, asked = tmp_path / "kept" / "a.safetensors", []

    def make(out: Path) -> None:
        asked.append(out)
        out.write_text("half")
        if len(asked) == 1:
            raise KeyboardInterrupt
        out.write_text("whole")

    with pytest.raises(KeyboardInterrupt):
        made_once(path, make)
    assert list(path.parent.iterdir()) == []
    for _ in range(2):
        assert made_once(path, make).read_text() == "whole"
    assert len(asked) == 2 and list(path.parent.iterdir()) == [path]


def test_what_is_kept_goes_by_all_that_decides_it(tmp_path: Path) -> None:
    def key(rows: list[Labelled], seed: int = 0, teacher: str | None = None) -> str:
        folder = Path(mkdtemp(dir=tmp_path))
        lay_out(folder, rows, nothing)
        return key_of(folder, seed, teacher)

    nothing = _nothing(tmp_path)
    assert key(ROWS) == key(ROWS)
    assert len({key(ROWS), key(ROWS[:-4]), key(ROWS, seed=1), key(ROWS, teacher="mpnet")}) == 4


def _nothing(folder: Path) -> Path:
    (folder / "nothing").mkdir()
    return folder / "nothing"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--leave-groups-out trains on what --data holds"),
        (("--data", "nowhere"), "There is no toxigen_dev_even.jsonl in nowhere"),
    ],
)
def test_without_ratings_nothing_is_trained(
    arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    home = {"PROMPTLY_HOME": str(tmp_path)}
    judge = "--judge", "openai:http://127.0.0.1:9/v1#none"
    done = promptly("bias", "validate", "--leave-groups-out", *judge, *arguments, environment=home)
    assert done.returncode == 2 and said in " ".join(done.stderr.split())
