"""The log's lines: for machines, for people, and without anybody's words."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from promptly import logs

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
    structlog.reset_defaults()


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


def test_on_a_terminal_lines_are_to_be_read() -> None:
    output = Terminal()
    logs.configure("warning", output)
    structlog.get_logger().info("not told")
    structlog.get_logger().warning("told", reason="x")
    assert "told" in output.getvalue()
    assert "not told" not in output.getvalue()
    assert not output.getvalue().startswith("{")
