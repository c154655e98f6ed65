"""The model that is fine-tuned, and the small matrices that are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from model_pipeline.errors import ConfigurationError
from training.config import FinetuneConfig


def load_tokenizer(place: str, revision: str | None) -> Any:
    """With a padding token; of a folder, or of a Hub repository at a commit."""
    from transformers import AutoTokenizer

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(
            place, revision=revision, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as error:
        raise _unloadable(place, error) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(place: str, revision: str | None, *, precision: str, quantised: bool) -> Any:
    """Its weights in `precision`, or in 4 bits; no code of a repository is run, and no pickle is
    opened. Left to itself TRL would hold them in 32 bits."""
    from accelerate import PartialState
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    dtype = torch_dtype(precision)
    held: dict[str, Any] = {}
    if quantised:
        held["device_map"] = {"": PartialState().device}
        quantisation: Any = BitsAndBytesConfig
        held["quantization_config"] = quantisation(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            place,
            revision=revision,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            **held,
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise _unloadable(place, error) from error
    for one in model.modules():
        # bitsandbytes 0.50 packs a base anew at the first validation on a CPU that has AVX-512 for
        # bf16, and through one that is packed no gradient goes.
        if hasattr(one, "support_avx512bf16_for_cpu"):
            one.support_avx512bf16_for_cpu = False
    return model


def torch_dtype(precision: str) -> Any:
    import torch

    return {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[precision]


def lora(config: FinetuneConfig) -> Any:
    from peft import LoraConfig

    return LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=config.modules,
        task_type="CAUSAL_LM",
    )


def save_adapter(model: Any, folder: Path, config: FinetuneConfig) -> None:
    """It names the base as it is published, whatever folder that was read from."""
    model.save_pretrained(folder)
    path = folder / "adapter_config.json"
    about = json.loads(path.read_bytes())
    about |= {"base_model_name_or_path": config.base_model, "revision": config.base_revision}
    path.write_text(json.dumps(about, indent=2, sort_keys=True) + "\n", "utf-8")
    (folder / "README.md").unlink(missing_ok=True)  # a form that nobody filled in


def merged(model: Any, place: str, config: FinetuneConfig, precision: str) -> Any:
    """The base with the adapter of `model` in it; `model` is of no use afterwards. A base of 4 bits
    is read anew: rounded to those once more, most of what was learnt would be gone."""
    if config.method == "lora":
        return model.merge_and_unload(safe_merge=True)
    from peft import PeftModel, get_peft_model_state_dict, set_peft_model_state_dict

    learnt = get_peft_model_state_dict(model)
    revision = None if Path(place).is_dir() else config.base_revision
    whole = load_model(place, revision, precision=precision, quantised=False)
    attached: Any = PeftModel(whole, lora(config))
    set_peft_model_state_dict(attached, learnt)
    return attached.merge_and_unload(safe_merge=True)


def _unloadable(place: str, error: Exception) -> ConfigurationError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ConfigurationError(f"The base model {place} cannot be loaded: {reason}")
