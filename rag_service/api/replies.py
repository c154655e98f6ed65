"""Replies as JSON bytes, with their timings in the header as well."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json
from starlette.responses import Response


def reply(body: Mapping[str, Any], *, status: int = 200) -> Response:
    """`body` has `timings_ms`. Already plain values, so no model validates them once more."""
    timing = ", ".join(f"{name};dur={value:.2f}" for name, value in body["timings_ms"].items())
    return Response(encoded(body), status, {"Server-Timing": timing}, "application/json")


def encoded(body: Mapping[str, Any]) -> bytes:
    try:
        return to_json(body)
    except ValueError:  # metadata nested deeper than it goes
        return json.dumps(body, default=str).encode("ascii")


def since(started: float) -> dict[str, float]:
    """`timings_ms` of what has one stage; `started` is time.perf_counter()'s."""
    return {"total": round((time.perf_counter() - started) * 1000, 3)}
