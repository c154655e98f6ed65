import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_pipeline.errors import InvalidInput, NotFound, PromptlyError
from model_pipeline.evaluation import scorecard_file
from model_pipeline.evaluation.examples import Example, Prediction, TestSet, paired
from model_pipeline.evaluation.measured import mean
from model_pipeline.evaluation.scorecard import score
from model_pipeline.evaluation.scorecard_file import from_json, read, to_json, write
from tests.model_pipeline.evaluation.cards import make_card, make_set

RERUN = """
from tests.model_pipeline.evaluation.cards import make_card
from model_pipeline.evaluation.scorecard_file import to_json
print(to_json(make_card(bias=4.5)), end="")
"""
Damage = Callable[[dict[str, Any]], object]


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    card = make_card([], bias=4.25)
    write(card, tmp_path / "new" / "card.json")
    again = read(tmp_path / "new" / "card.json")
    assert again.rows == card.rows
    assert again.failures() == card.failures()
    assert [one.name for one in again.measured] == [one.name for one in card.measured]
    assert again.figures["rouge_1_recall"].n == card.figures["rouge_1_recall"].n
    assert (again.bias, again.params, again.versions) == (4.25, card.params, card.versions)
    assert to_json(again) == to_json(card)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["card.json"]


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_rerun_in_another_process_writes_the_same_bytes(threads: str) -> None:
    environment = {"OPENBLAS_NUM_THREADS": threads, "PYTHONHASHSEED": threads}
    done = subprocess.run(
        [sys.executable, "-c", RERUN], capture_output=True, check=True, env=environment, timeout=120
    )
    assert done.stdout.decode() == to_json(make_card(bias=4.5))


def test_statistics_come_back_bit_by_bit() -> None:
    card = make_card()
    again = from_json(to_json(card).encode())
    for one, other in zip(card.measured, again.measured, strict=True):
        assert np.array_equal(one.statistics, other.statistics)
        assert np.array_equal(one.scored, other.scored)
        assert (one.best, one.worst) == (other.best, other.worst)


def test_no_number_is_null_and_its_reason_stands_beside_it() -> None:
    test_set = make_set(3)
    judged = mean("judged", "v1", [None, math.nan, None], failures={0: "the judge timed out"})
    card = score(test_set, paired(test_set, []), [judged], release_id="r", seed=0, draws=10)
    found = json.loads(to_json(card))
    metric = found["metrics"][0]
    assert (metric["figure"], metric["low"], metric["reason"]) == (
        None,
        None,
        scorecard_file.NONE_SCORED,
    )
    rows = found["examples"]
    assert rows[0]["reasons"] == {"judged": "the judge timed out"}
    assert rows[1]["values"]["judged"] is None
    assert rows[1]["reasons"] == {"judged": "not a finite number"}
    assert "judged" not in rows[2]["values"] and rows[2]["reasons"] == {}
    assert math.isnan(from_json(to_json(card).encode()).figures["judged"].value)


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(), max_size=30), st.text(st.characters(), max_size=30))
def test_any_text_comes_back_as_it_was(question: str, answer: str) -> None:
    """NUL, lone surrogates and what reverses direction among it."""
    test_set = TestSet("t", (Example("a", question, tags={"topic": answer}),))
    pairs = paired(test_set, [Prediction("a", answer)])
    card = score(test_set, pairs, [], release_id="r", seed=0, draws=2)
    assert from_json(to_json(card).encode("ascii")).rows == card.rows


def _first(found: dict[str, Any]) -> dict[str, Any]:
    metric: dict[str, Any] = found["metrics"][0]
    return metric


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda found: found.pop("seed"), '"seed" is a required property'),
        (lambda found: found.update(seed="0"), r"at \$\.seed"),
        (lambda found: found.update(more=1), "'more'"),
        (lambda found: found["test_set"].update(hash="abc"), "hash"),
        (lambda found: _first(found).update(figure=0.99), "its statistics give"),
        (lambda found: _first(found).update(n=3), "not of the examples"),
        (lambda found: _first(found)["statistics"].pop(), "not of the examples"),
        (lambda found: _first(found)["statistics"][0].append(1), "not rows of numbers"),
        (lambda found: _first(found)["statistics"].__setitem__(0, ["x", {}]), "not rows of numb"),
        (lambda found: _first(found)["statistics"].__setitem__(0, []), "not rows of numbers"),
        (
            lambda found: _first(found)["failures"].append(
                {"name": "lost", "count": 1, "ids": ["nobody"]}
            ),
            "'nobody'",
        ),
        (lambda found: found["metrics"].append(_first(found)), "one metric twice"),
        (lambda found: found["examples"].pop(), "not as many"),
        (lambda found: found["examples"][0].update(id="q001"), "not as many"),
        (lambda found: found["examples"][0].update(answer=None), "answer"),
    ],
)
def test_a_damaged_scorecard_is_one_sentence(damage: Damage, says: str) -> None:
    found = json.loads(to_json(make_card()))
    damage(found)
    with pytest.raises(InvalidInput, match=says) as caught:
        from_json(json.dumps(found).encode(), name="card.json")
    assert caught.value.message.startswith("card.json is a damaged scorecard: ")
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"kind": NaN}', "not JSON"),
        (b'{"kind": 1e999}', "not JSON"),
        (b"[]", "is not a scorecard"),
        (b'{"kind": "other"}', "is not a scorecard"),
        (b'{"kind": "promptly-scorecard", "version": 2}', "version 2.*update Promptly"),
        (b'{"kind": "promptly-scorecard", "version": "1"}', r"at \$"),
    ],
)
def test_what_is_no_scorecard_or_a_newer_one_is_one_sentence(content: bytes, says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as caught:
        from_json(content)
    assert "\n" not in caught.value.message


def test_a_file_that_is_not_there_or_a_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no scorecard"):
        read(tmp_path / "none.json")
    with pytest.raises(InvalidInput, match="cannot be read"):
        read(tmp_path)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_byte_that_is_changed_is_found_or_harmless(data: st.DataObject) -> None:
    content = bytearray(to_json(make_card(test_set=make_set(4))).encode())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255))
    try:
        assert from_json(bytes(content)).measured
    except PromptlyError as error:
        assert "\n" not in error.message
