from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bias.local.ordinal import Ordinal
from bias.local.weights import Closer, Weights, load, packed, save, unpacked
from model_pipeline.errors import ConfigurationError

LARGE = "encoder.layer.0.intermediate.dense.weight"
MATRIX, BIAS = "encoder.layer.5.output.dense.weight", "encoder.layer.5.output.dense.bias"


@pytest.fixture
def judge() -> Weights:
    rng = np.random.default_rng(0)
    return Weights(
        changes={
            MATRIX: (rng.normal(size=(24, 128)) * 0.01).astype(np.float32),
            BIAS: rng.normal(size=24).astype(np.float32),
            LARGE: rng.normal(size=(800, 128)).astype(np.float32),
        },
        head=rng.normal(size=24).astype(np.float32),
        offset=3.5,
        ordinal=Ordinal(np.array([1.0, 5.0]), np.array([[0.1, 1.0]] * 4)),
        exponent=1.5,
        sure=0.7,
        spread=0.2,
        closer=Closer(
            {BIAS: np.ones(24, dtype=np.float32), LARGE: rng.normal(size=(800, 128))},
            {"hidden_size": 24},
            rng.normal(size=24).astype(np.float32),
            4.5,
        ),
    )


def test_a_saved_judge_is_loaded_as_it_was(judge: Weights, tmp_path: Path) -> None:
    save(tmp_path / "judge", judge, about={"seed": "1"})
    found = load(tmp_path / "judge")
    assert found.changes.keys() == judge.changes.keys()
    for name, change in judge.changes.items():
        assert found.changes[name] == pytest.approx(change, abs=float(np.abs(change).max()) / 13)
    assert found.head == pytest.approx(judge.head)
    assert (found.offset, found.exponent, found.sure, found.spread) == (3.5, 1.5, 0.7, 0.2)
    assert found.ordinal.above == pytest.approx(judge.ordinal.above)
    was, closer = judge.closer, found.closer
    assert was and closer and (closer.config, closer.offset) == (was.config, was.offset)
    assert closer.head == pytest.approx(was.head)
    assert set(closer.weights) == {BIAS, LARGE} and len(closer.weights) == 2
    for name, array in was.weights.items():
        assert closer.weights[name] == pytest.approx(array, abs=float(np.abs(array).max()) / 13)


def test_a_judge_without_a_closer_reader_has_none(judge: Weights, tmp_path: Path) -> None:
    save(tmp_path / "judge", replace(judge, closer=None), about={})
    assert load(tmp_path / "judge").closer is None


def test_only_what_is_named_changes(judge: Weights) -> None:
    base = {MATRIX: np.ones((24, 128), dtype=np.float32), "other": np.ones(2, dtype=np.float32)}
    changed = judge.changed(base)
    assert changed[MATRIX] == pytest.approx(1 + judge.changes[MATRIX])
    assert changed["other"] is base["other"]


def test_four_bits_keep_a_fourteenth_of_each_groups_span() -> None:
    rng = np.random.default_rng(1)
    matrix = (rng.normal(size=(8, 192)) * rng.lognormal(size=(8, 1))).astype(np.float32)
    numbers, scale = packed(matrix)
    assert numbers.nbytes == matrix.size / 2
    error = np.abs(unpacked(numbers, scale) - matrix).reshape(8, 3, 64).max(2)
    span = np.abs(matrix).reshape(8, 3, 64).max(2)
    assert (error <= span / 14 * 1.01).all()
    nothing = np.zeros((2, 64), dtype=np.float32)
    assert (unpacked(*packed(nothing)) == 0).all()


def test_the_same_judge_is_the_same_bytes_and_another_has_another_signature(
    judge: Weights, tmp_path: Path
) -> None:
    others = (judge, judge, replace(judge, spread=0.3))
    for name, one in zip("abc", others, strict=True):
        save(tmp_path / name, one, about={})
    a, b, c = (hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in "abc")
    assert a == b != c
    assert load(tmp_path / "a").signature == load(tmp_path / "b").signature
    assert load(tmp_path / "a").signature != load(tmp_path / "c").signature


@pytest.mark.parametrize("content", [None, b"", b"no judge at all", b"\xff" * 64])
def test_what_is_no_judge_is_said_in_a_sentence(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "judge"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(path)


def test_a_judge_of_another_embedder_is_refused(judge: Weights, tmp_path: Path) -> None:
    save(tmp_path / "judge", judge, about={"base": "another"})
    with pytest.raises(ConfigurationError, match="another embedder"):
        load(tmp_path / "judge")
