"""The log's lines: for machines, for people, and without anybody's words."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from promptly import logs
from tests.promptly import failing_api

SECRET = "quincunx"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level


def fail() -> None:
    try:
        raise KeyError(SECRET)
    except KeyError as error:
        raise ValueError(f"no {SECRET}") from error


def test_libraries_and_promptly_write_one_kind_of_line() -> None:
    output = io.StringIO()
    logs.configure("info", output)
    log = structlog.get_logger()
    log.info("request", ms=1.5)
    log.debug("not told")
    try:
        fail()
    except ValueError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
        log.exception("failed")
    lines = [json.loads(line) for line in output.getvalue().splitlines()]
    assert [line["event"] for line in lines] == [
        "request", "Exception in ASGI application", "failed",
    ]  # fmt: skip
    for line in lines[1:]:
        kinds = line["exception"].splitlines()
        assert "builtins.ValueError" in kinds
        assert "builtins.KeyError" in kinds
        assert any("in fail" in one for one in kinds)
    assert SECRET not in output.getvalue()


def test_what_an_error_says_is_in_no_line_and_no_span() -> None:
    """Of requests whose generator fails over the question: in the log, also by other libraries and
    the event loop, and in the traces. Each line of a request tells whose it is."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.promptly.failing_api"],
        capture_output=True, text=True, check=True, cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip
    assert failing_api.SECRET not in done.stdout + done.stderr
    told = json.loads(done.stdout)
    lines = [json.loads(line) for line in told["log"]]
    caller = hashlib.sha256(failing_api.USER.encode()).hexdigest()[:12]
    for request in ("asked-False", "asked-True"):
        mine = [one for one in lines if one.get("request_id") == request]
        assert [one["event"] for one in mine] == [
            "model_slow", "it fails", "unexpected error", "request",
        ]  # fmt: skip
        assert {one["caller"] for one in mine} == {caller}
        assert len({one["trace_id"] for one in mine}) == 1
        assert "in fail\nbuiltins.ValueError" in mine[2]["exception"]
    assert [one["event"] for one in lines].count("event_loop_failed") == 2
    assert lines[-1]["status"] == 422 and lines[-1]["caller"] is None
    [one, other] = [span for span in told["spans"] if span["name"] == "generate"]
    for span in (one, other):
        assert span["status"] == {"status_code": "ERROR"}
        assert span["attributes"] == {"error.type": "ValueError"}
    assert not any(span["events"] for span in told["spans"])


def test_on_a_terminal_lines_are_to_be_read() -> None:
    output = Terminal()
    logs.configure("warning", output)
    structlog.get_logger().info("not told")
    structlog.get_logger().warning("told", reason="x")
    assert "told" in output.getvalue()
    assert "not told" not in output.getvalue()
    assert not output.getvalue().startswith("{")
