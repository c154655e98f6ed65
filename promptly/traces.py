"""Traces for OpenTelemetry: requests, their stages, the statement that searches. Without an address
to send them to there are none, and the spans that the code names cost nothing to speak of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace

from model_pipeline.errors import ConfigurationError


@contextmanager
def tracing(endpoint: str | None) -> Iterator[None]:
    """Sends to `endpoint` (OTLP over HTTP, such as http://localhost:4318) until the end. Raises
    ConfigurationError where the extra is missing, or it is no address."""
    if endpoint is None:
        yield
        return
    if not endpoint.startswith(("http://", "https://")):
        raise ConfigurationError(
            f"OTEL_EXPORTER_OTLP_ENDPOINT is {endpoint!r}: give an address such as "
            "http://localhost:4318."
        )
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ConfigurationError(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, and traces need the extra 'otel': "
            "pip install 'promptly-rag[otel]', or unset it."
        ) from error
    provider = TracerProvider(resource=Resource.create({"service.name": "promptly"}))
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()
