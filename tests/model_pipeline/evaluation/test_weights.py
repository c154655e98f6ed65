import math
from pathlib import Path

import pytest
import yaml

from model_pipeline import params
from model_pipeline.errors import InvalidInput
from model_pipeline.evaluation import weights


def test_the_shipped_weights_are_those_that_decisions_are_made_by() -> None:
    found = weights.read()
    assert found.weighted_score == {
        "bleu_1": 0.10,
        "bleu_2": 0.15,
        "bleu_3": 0.25,
        "bleu_4": 0.40,
        "rouge_l_precision": 0.10,
    }
    assert found.composite == {
        "performance": 0.50,
        "bias": 0.30,
        "speed": 0.10,
        "reliability": 0.10,
    }
    assert found.margin == 0.001


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"weighted_score": {"bleu_1": 0.5}}, "sums to 0.5"),
        ({"weighted_score": {"bleu_9": 1}}, "'bleu_9', which is none of"),
        ({"weighted_score": {}}, "one at least"),
        ({"weighted_score": [1]}, "one at least"),
        ({"weighted_score": {"bleu_1": 1.5, "bleu_2": -0.5}}, "0 or more"),
        ({"weighted_score": {"bleu_1": math.nan}}, "must be a number"),
        ({"weighted_score": {"bleu_1": "1"}}, "must be a number"),
        ({"weighted_score": {"bleu_1": True}}, "must be a number"),
        ({"composite": {"performance": 0.5, "beauty": 0.5}}, "'beauty'"),
        ({"speed_reference_ms": 0}, "more than 0"),
        ({"margin": -1}, "0 or more"),
        ({"margins": 1}, "check margins"),
    ],
)
def test_wrong_weights_are_one_sentence(
    tmp_path: Path, change: dict[str, object], says: str
) -> None:
    given = yaml.safe_load(params.shipped().read_text())
    given["evaluation"].update(change)
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(given))
    with pytest.raises(InvalidInput, match=says) as caught:
        weights.read(path)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("content", [b"", b"[1]", b"evaluation: 1", b"a: [", b"\xff", b"a: !!x 1"])
def test_what_is_no_parameters_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"params\.yaml") as caught:
        weights.read(path)
    assert "\n" not in caught.value.message
    with pytest.raises(InvalidInput, match=r"none\.yaml"):
        weights.read(tmp_path / "none.yaml")
