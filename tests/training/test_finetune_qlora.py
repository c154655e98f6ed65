"""QLoRA: the base in 4 bits, as bitsandbytes holds them on a CPU and on a GPU alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.training.learning.material import CONFIG
from tests.training.test_finetune import adapter, losses, stop_after
from training import manifest
from training.finetune import Outcome, finetune
from training.learning import base

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
QLORA = replace(CONFIG, method="qlora", merge=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, tiny_data: Path) -> Outcome:
    out = tmp_path_factory.mktemp("qlora") / "out"
    return finetune(tiny_data, out, QLORA, base=tiny_base)


def test_the_base_is_held_in_4_bits(tiny_base: Path) -> None:
    from bitsandbytes.nn import Linear4bit

    model = base.load_model(str(tiny_base), None, precision="fp32", quantised=True)
    held = {name: one for name, one in model.named_modules() if isinstance(one, Linear4bit)}
    assert len(held) == 14  # seven of each of two layers; not the head
    one = held["model.layers.0.self_attn.q_proj"].weight
    assert (one.dtype, one.numel()) == (torch.uint8, 64 * 64 // 2)
    assert one.quant_state.quant_type == "nf4" and one.quant_state.nested


def test_it_learns(whole: Outcome) -> None:
    found = whole.metrics["training"]
    assert whole.finished and found["steps"] == 11
    assert found["last_loss"] < found["first_loss"] - 0.4
    assert found["validation_loss"] < found["validation_loss_before"] - 0.4
    assert manifest.verify(whole.folder) == []
    learnt = [one for name, one in adapter(whole.folder).items() if "lora_B" in name]
    assert len(learnt) == 14 and all(bool(one.any()) for one in learnt)


def test_it_goes_on_where_it_was_stopped(
    whole: Outcome, tiny_base: Path, tiny_data: Path, tmp_path: Path
) -> None:
    tell, stop = stop_after(6)
    first = finetune(tiny_data, tmp_path / "first", QLORA, base=tiny_base, tell=tell, stop=stop)
    assert not first.finished
    found = finetune(tiny_data, tmp_path / "then", QLORA, base=tiny_base, resume=first.folder)
    assert found.finished and losses(found.folder) == losses(whole.folder)


def test_the_merged_model_is_the_whole_base_and_what_was_learnt(
    whole: Outcome, tiny_base: Path
) -> None:
    """Not the base as 4 bits left it."""
    learnt: dict[str, Any] = adapter(whole.folder)
    merged = load_file(whole.folder / "merged" / "model.safetensors")
    for name, weights in load_file(tiny_base / "model.safetensors").items():
        own = f"base_model.model.{name.removesuffix('.weight')}.lora_"
        added = torch.zeros(())
        if own + "A.weight" in learnt:
            scale = QLORA.alpha / QLORA.rank
            added = scale * learnt[own + "B.weight"] @ learnt[own + "A.weight"]
        assert torch.allclose(merged[name], weights + added, atol=1e-6), name
