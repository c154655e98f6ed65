"""What the machine computes on, and the precision that it can."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from model_pipeline.errors import ConfigurationError

BF16_FROM = (8, 0)  # compute capability; a T4 has 7.5
Capability = tuple[int, int]


def capabilities() -> list[Capability]:
    """Of each CUDA device; nothing without one."""
    import torch

    return [torch.cuda.get_device_capability(one) for one in range(torch.cuda.device_count())]


def choose_precision(wanted: str, found: Sequence[Capability]) -> str:
    """bf16, fp16 or fp32. The libraries would take bf16 where nothing is said, whatever the device.
    Raises ConfigurationError where `wanted` cannot be had."""
    if wanted == "auto":
        if not found:
            return "fp32"
        return "bf16" if min(found) >= BF16_FROM else "fp16"
    if wanted == "fp16" and not found:
        raise ConfigurationError(
            "finetune.precision is fp16, which needs a CUDA device, and there is none: say auto."
        )
    if wanted == "bf16" and found and min(found) < BF16_FROM:
        major, minor = min(found)
        raise ConfigurationError(
            f"finetune.precision is bf16, which needs compute capability 8.0, and a device here "
            f"has {major}.{minor}: say auto."
        )
    return wanted


def require_quantisation() -> None:
    """Raises ConfigurationError where a base cannot be held in 4 bits."""
    if find_spec("bitsandbytes") is None:
        raise ConfigurationError(
            "finetune.method is qlora, which needs bitsandbytes: `pip install bitsandbytes`, or "
            "say lora."
        )


def names() -> list[str]:
    import torch

    found = [torch.cuda.get_device_name(one) for one in range(torch.cuda.device_count())]
    return found or ["CPU"]


def peak_memory(device: Any) -> int | None:
    """The most bytes that were held at once: on the CUDA `device`, else by this process; None where
    the system does not say."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        return None
    from resource import RUSAGE_SELF, getrusage

    return getrusage(RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
