"""OpenAI's own client, unchanged, at a server of ours."""

from __future__ import annotations

from typing import Any

from openai import OpenAI

QUESTION: list[Any] = [{"role": "user", "content": "When are defaults evaluated?"}]


def connect(address: str, **more: Any) -> OpenAI:
    return OpenAI(**{"base_url": f"{address}/v1", "api_key": "any", "max_retries": 0, **more})
