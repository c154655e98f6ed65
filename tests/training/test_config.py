from __future__ import annotations

import subprocess
import sys
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from model_pipeline.errors import InvalidInput
from training.config import FinetuneConfig


def test_what_is_written_reads_back_the_same() -> None:
    config = FinetuneConfig(method="qlora", rank=8, max_steps=3, time_limit_s=60.5, merge=True)
    assert FinetuneConfig.from_dict(config.to_dict()) == config
    assert FinetuneConfig.from_dict({}) == FinetuneConfig()


def test_a_config_stays_what_it_is() -> None:
    with pytest.raises(FrozenInstanceError):
        FinetuneConfig().rank = 4  # type: ignore[misc]


def test_an_unknown_key_is_refused_in_one_sentence_that_names_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match=r"finetune has 'lr', which is none of alpha, .*\.$"):
        FinetuneConfig.from_dict({"lr": 1e-4})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rank": 0}, "finetune.rank is 0 and must be 1 or more."),
        ({"rank": True}, "finetune.rank is True and must be a whole number."),
        ({"rank": 1.5}, "finetune.rank is 1.5 and must be a whole number."),
        ({"rank": None}, "finetune.rank is None and must be a whole number."),
        ({"epochs": "3"}, "finetune.epochs is '3' and must be a number."),
        ({"epochs": float("nan")}, "finetune.epochs is nan and must be a number."),
        ({"learning_rate": float("inf")}, "finetune.learning_rate is inf and must be a number."),
        ({"learning_rate": 0}, "finetune.learning_rate is 0 and must be more than 0."),
        ({"max_steps": 0}, "finetune.max_steps is 0 and must be more than 0."),
        ({"time_limit_s": -1}, "finetune.time_limit_s is -1 and must be more than 0."),
        ({"dropout": 1.0}, "finetune.dropout is 1.0 and must be from 0 to below 1."),
        ({"merge": 1}, "finetune.merge is 1 and must be true or false."),
        ({"method": "full"}, "finetune.method is 'full' and must be one of lora, qlora."),
        (
            {"precision": "fp8"},
            "finetune.precision is 'fp8' and must be one of auto, bf16, fp16, fp32.",
        ),
        (
            {"base_revision": "main"},
            "finetune.base_revision is 'main' and must be a commit of 40 hexadecimal digits.",
        ),
        ({"base_model": " "}, "finetune.base_model is ' ' and must be a repository or a folder."),
        (
            {"target_modules": ","},
            "finetune.target_modules is ',' and must be names of modules, or all-linear.",
        ),
        ({"max_tokens": 8}, "finetune.max_tokens is 8 and must be 16 or more."),
    ],
)
def test_a_wrong_value_is_one_sentence(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        FinetuneConfig.from_dict(given)
    assert raised.value.message == said


def test_modules_are_as_peft_takes_them() -> None:
    assert FinetuneConfig().modules == "all-linear"
    assert FinetuneConfig(target_modules="q_proj, v_proj").modules == ["q_proj", "v_proj"]


def test_config_and_manifest_need_the_standard_library_alone() -> None:
    """They are imported where nothing is installed."""
    code = "import training.config, training.manifest"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
