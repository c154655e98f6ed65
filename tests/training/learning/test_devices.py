from __future__ import annotations

import pytest

from model_pipeline.errors import ConfigurationError
from training.learning import devices
from training.learning.devices import choose_precision, require_quantisation

T4, A100, H100 = (7, 5), (8, 0), (9, 0)


@pytest.mark.parametrize(
    ("wanted", "found", "chosen"),
    [
        ("auto", [], "fp32"),
        ("auto", [T4, T4], "fp16"),
        ("auto", [A100], "bf16"),
        ("auto", [H100, T4], "fp16"),
        ("fp32", [T4], "fp32"),
        ("fp16", [H100], "fp16"),
        ("bf16", [], "bf16"),
    ],
)
def test_precision_is_what_every_device_can(
    wanted: str, found: list[tuple[int, int]], chosen: str
) -> None:
    """TRL takes bf16 where nothing is said, on a T4 too."""
    assert choose_precision(wanted, found) == chosen


def test_what_a_device_cannot_is_told_in_one_sentence() -> None:
    with pytest.raises(ConfigurationError, match=r"capability 8\.0, and a device here has 7\.5"):
        choose_precision("bf16", [A100, T4])
    with pytest.raises(ConfigurationError, match="fp16, which needs a CUDA device"):
        choose_precision("fp16", [])


def test_without_bitsandbytes_there_are_no_4_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "find_spec", lambda _name: None)
    with pytest.raises(ConfigurationError, match="needs bitsandbytes: `pip install bitsandbytes`"):
        require_quantisation()
