"""A model that answers by its adapter alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.language_models import make_language_model


def make_adapted_model(folder: Path, *, says: str) -> tuple[Path, Path, Path]:
    """A model that says nothing sensible, an adapter with which it answers anything with `says`,
    and the model with it in its weights: base, adapter, merged. Taught whole, and the adapter taken
    out of it: in no time, and to the letter."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base, adapter, merged = (folder / name for name in ("base", "adapter", "merged"))
    make_language_model(merged, says=says)
    torch.manual_seed(1)
    model: Any = AutoModelForCausalLM.from_pretrained(merged)
    tokenizer: Any = AutoTokenizer.from_pretrained(merged)
    changed = ["q_proj", "v_proj", "down_proj"]
    attached: Any = get_peft_model(
        model, LoraConfig(r=4, target_modules=changed, task_type="CAUSAL_LM")
    )
    for layer in attached.modules():
        if hasattr(layer, "lora_B"):
            torch.nn.init.normal_(layer.lora_B["default"].weight, std=1.0)
            layer.get_base_layer().weight.data -= layer.get_delta_weight("default")
    attached.save_pretrained(adapter)
    attached.unload().save_pretrained(base)
    tokenizer.save_pretrained(base)
    tokenizer.save_pretrained(adapter)
    return base, adapter, merged
