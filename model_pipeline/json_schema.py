"""What is wrong with an object by a JSON Schema (draft 2020-12)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jsonschema_rs import Draft202012Validator


def checker(schema: Path) -> Callable[[Any], str | None]:
    """To a clause on the first fault of an object and its place, or None."""
    validator = Draft202012Validator(json.loads(schema.read_text(encoding="utf-8")))

    def fault(found: Any) -> str | None:
        wrong = next(iter(validator.iter_errors(found)), None)
        if wrong is None:
            return None
        keys = wrong.instance_path
        place = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
        return f"at ${place} {wrong.message[:200]}"

    return fault
