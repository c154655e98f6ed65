"""Stages as spans of OpenTelemetry. They carry no text: not the question, not the passages, and of
an error its kind alone. Where the process sends no traces they are nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

from opentelemetry import trace
from opentelemetry.trace import Span, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_TRACER = trace.get_tracer("promptly")
_NOTHING = nullcontext()


def span(name: str, **attributes: str | int) -> AbstractContextManager[object]:
    """What is done inside; for coroutines, not for generators, which others run in between."""
    return _span(name, attributes) if are_sent() else _NOTHING


def are_sent() -> bool:
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


@contextmanager
def _span(name: str, attributes: Mapping[str, str | int]) -> Iterator[None]:
    with _TRACER.start_as_current_span(
        name, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as one:
        try:
            yield
        except Exception as error:
            failed(one, error)
            raise


def failed(one: Span, error: Exception) -> None:
    """Its kind, and not what it says."""
    one.set_status(StatusCode.ERROR)
    one.set_attribute("error.type", type(error).__qualname__)


def begin(name: str, *, at_ns: int | None = None) -> Span:
    """A span for a generator to end, beneath the one that is current; `at_ns` is of the epoch."""
    return _TRACER.start_span(name, start_time=at_ns)


def headers() -> dict[str, str]:
    """What continues the current trace elsewhere: `traceparent`; ids alone, and without traces
    nothing."""
    found: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(found)
    return found
