"""What decides a fine-tune: `finetune:` of params.yaml, checked. Standard library alone, since it
goes to Kaggle with the training data."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from model_pipeline.errors import InvalidInput

METHODS = ("lora", "qlora")
PRECISIONS = ("auto", "bf16", "fp16", "fp32")
SCHEDULES = ("cosine", "linear", "constant_with_warmup")
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneConfig:
    """Raises InvalidInput, in one sentence, where a value cannot be."""

    base_model: str = "Qwen/Qwen2.5-1.5B-Instruct"
    """A Hub repository, or a folder."""
    base_revision: str | None = "989aa7980e4cf806f80c7fef2b1adb7bc71aa306"
    """Its commit: always the same weights. None for a folder."""

    method: str = "lora"
    """`qlora` holds the base in 4 bits, which needs bitsandbytes."""
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.05
    target_modules: str = "all-linear"
    """Names of modules that are adapted, with commas between; `all-linear`: all but the head."""

    epochs: float = 3.0
    max_steps: int | None = None
    """The most optimizer steps, whatever `epochs` says."""
    learning_rate: float = 2e-4
    schedule: str = "cosine"
    warmup_share: float = 0.03
    """Of all steps."""
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    batch_size: int = 16
    """Examples of one optimizer step, on all devices together."""
    device_batch_size: int = 4
    """The most that one device holds at once."""
    max_tokens: int = 2048
    """Of prompt and completion; longer examples are left out and counted."""
    precision: str = "auto"
    """`auto`: bf16 from compute capability 8.0, fp16 below, fp32 without CUDA."""
    gradient_checkpointing: bool = True
    """Less memory, for more time."""
    seed: int = 0

    evaluations: int = 10
    """Of the validation loss, evenly over the run; each leaves a checkpoint."""
    patience: int = 3
    """Evaluations without a lower loss, after which it ends; 0: never."""
    time_limit_s: float | None = None
    """Seconds after which it leaves a checkpoint and ends, to be resumed."""

    generated: int = 64
    """Validation examples that are answered before and after, and scored; 0: none."""
    max_new_tokens: int = 256
    merge: bool = False
    """Also writes the base with the adapter in it."""

    def __post_init__(self) -> None:
        for one in fields(self):
            _typed(one.name, str(one.type), getattr(self, one.name))
        for name, known in (
            ("method", METHODS),
            ("precision", PRECISIONS),
            ("schedule", SCHEDULES),
        ):
            _expect(getattr(self, name) in known, self, name, f"one of {', '.join(known)}")
        revision = self.base_revision
        pinned = revision is None or COMMIT.fullmatch(revision)
        _expect(bool(pinned), self, "base_revision", "a commit of 40 hexadecimal digits")
        _expect(bool(self.base_model.strip()), self, "base_model", "a repository or a folder")
        _expect(bool(self.modules), self, "target_modules", "names of modules, or all-linear")
        for name in ("rank", "alpha", "batch_size", "device_batch_size", "evaluations"):
            _expect(getattr(self, name) >= 1, self, name, "1 or more")
        for name in ("patience", "generated", "seed", "weight_decay"):
            _expect(getattr(self, name) >= 0, self, name, "0 or more")
        for name in ("dropout", "warmup_share"):
            _expect(0 <= getattr(self, name) < 1, self, name, "from 0 to below 1")
        for name in ("epochs", "learning_rate", "max_grad_norm", "max_steps", "time_limit_s"):
            value = getattr(self, name)
            _expect(value is None or value > 0, self, name, "more than 0")
        _expect(self.max_tokens >= 16, self, "max_tokens", "16 or more")
        _expect(self.max_new_tokens >= 1, self, "max_new_tokens", "1 or more")

    @property
    def modules(self) -> str | list[str]:
        """As PEFT takes them."""
        names = [one.strip() for one in self.target_modules.split(",") if one.strip()]
        return "all-linear" if names == ["all-linear"] else names

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> FinetuneConfig:
        """What `given` leaves out is as by default. Raises InvalidInput, of unknown keys too."""
        if not isinstance(given, Mapping):
            raise InvalidInput("finetune must be keys with their values.")
        known = {one.name for one in fields(cls)}
        if unknown := sorted(map(str, set(given) - known)):
            raise InvalidInput(
                f"finetune has {unknown[0]!r}, which is none of {', '.join(sorted(known))}."
            )
        return cls(**given)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def _typed(name: str, kind: str, value: Any) -> None:
    """`kind` is the annotation's text: "int", "float | None" and the like."""
    wanted, optional = kind.removesuffix(" | None"), kind.endswith(" | None")
    if value is None and optional:
        return
    if isinstance(value, bool):
        fits = wanted == "bool"
    elif isinstance(value, int):
        fits = wanted in ("int", "float")
    elif isinstance(value, float):
        fits = wanted == "float" and math.isfinite(value)
    else:
        fits = wanted == "str" and isinstance(value, str)
    if not fits:
        said = {"str": "a text", "bool": "true or false", "int": "a whole number"}
        raise InvalidInput(
            f"finetune.{name} is {value!r} and must be {said.get(wanted, 'a number')}."
        )


def _expect(right: bool, config: FinetuneConfig, name: str, must: str) -> None:
    if not right:
        raise InvalidInput(f"finetune.{name} is {getattr(config, name)!r} and must be {must}.")
