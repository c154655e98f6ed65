"""The server's log: a line of JSON for each event, or on a terminal a line to read.

Nothing that somebody asked, stored or was answered stands in it: of an error it has the kind and
where it was raised, not what it says, since that may quote what it was raised over.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any, TextIO

import structlog
from opentelemetry import trace
from structlog.types import EventDict, Processor, WrappedLogger

from rag_service.api.problems import where

log = structlog.get_logger()


def configure(level: str, output: TextIO = sys.stderr) -> None:
    """For the whole process, other libraries' lines included."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _with_trace,
        _without_messages,
    ]
    if output.isatty():
        render: Processor = structlog.dev.ConsoleRenderer()
    else:
        render = structlog.processors.JSONRenderer()
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(output),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    for name in (
        "uvicorn",
        "uvicorn.error",
    ):  # as another server in this process may have left them
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate, logger.level = [], True, logging.NOTSET
    root = logging.getLogger()
    root.handlers = [handler]
    # What libraries tell for their own debugging quotes what they work on.
    root.setLevel(max(number, logging.WARNING))


def event_loop_failed(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """For an event loop's set_exception_handler: its own one quotes what the error says, and the
    arguments of what was called."""
    error = context.get("exception")
    message = None if error else context.get("message")
    log.error("event_loop_failed", message=message, exc_info=error)


def _with_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = f"{context.trace_id:032x}"
    return event


def _without_messages(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    given = event.pop("exc_info", None)
    error = given[1] if isinstance(given, tuple) else given
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        event["exception"] = where(error)
    return event
