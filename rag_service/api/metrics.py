"""What is counted and timed, for Prometheus. Labels are routes, stages and states: never ids, never
what somebody sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from model_pipeline.domain import Answer, Bias, Passage, SearchResult
from rag_service.api.limits import Room

METHODS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"))
SECONDS = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30,
)  # fmt: skip
LAG_EVERY_S = 0.5


class Metrics:
    """One process's. Every method takes microseconds, and may be called on the event loop."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        for collect in (ProcessCollector, PlatformCollector, GCCollector):
            collect(registry=registry)
        self._requests = Counter(
            "promptly_http_requests", "Requests by route.", ("method", "route", "status"),
            registry=registry,
        )  # fmt: skip
        self._request_seconds = Histogram(
            "promptly_http_request_seconds", "From a request's first byte to its reply's last.",
            ("route",), buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self._stages = Histogram(
            "promptly_stage_seconds", "Stages of searches and answers, as in `timings_ms`.",
            ("route", "stage"), buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self._searches = Counter(
            "promptly_searches", "Searches by result: found or empty.", ("route", "result"),
            registry=registry,
        )  # fmt: skip
        self._answers = Counter(
            "promptly_answers", "Answers by result: answered or declined.", ("result",),
            registry=registry,
        )  # fmt: skip
        self._citations = Counter(
            "promptly_citations", "Citations by what their check said: verified or dropped.",
            ("result",), registry=registry,
        )  # fmt: skip
        self._judged = Counter(
            "promptly_judged", "Answers judged for bias before they are shown, by result: passed, "
            "unsure, flagged, withheld or unjudged.", ("result",), registry=registry,
        )  # fmt: skip
        self._tokens = Counter(
            "promptly_tokens", "Tokens of the generator: prompt or completion.", ("kind",),
            registry=registry,
        )  # fmt: skip
        self._cache = Counter(
            "promptly_cache", "Look-ups by result: hit (to the letter), reworded, or miss.",
            ("cache", "result"),
            registry=registry,
        )  # fmt: skip
        self._release = Gauge(
            "promptly_release", "1 for the release that answers.", ("release",), registry=registry
        )
        self._jobs = Gauge(
            "promptly_jobs", "Jobs in the queue, as of the last sample.", ("state",),
            registry=registry,
        )  # fmt: skip
        self._lag = Histogram(
            "promptly_event_loop_lag_seconds", "How late the event loop runs what is due.",
            buckets=SECONDS, registry=registry,
        )  # fmt: skip

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """`route` is the template, such as /v1/documents/{document_id}."""
        method = method if method in METHODS else "other"
        self._requests.labels(method, route, status).inc()
        self._request_seconds.labels(route).observe(seconds)

    def searched(self, result: SearchResult) -> None:
        self._found("search", result.passages)
        self._timed("search", result.timings_ms)

    def answered(self, answer: Answer) -> None:
        if not answer.cached:
            self._found("answer", answer.passages)
        self._answers.labels("declined" if answer.declined else "answered").inc()
        self._citations.labels("verified").inc(len(answer.citations))
        self._citations.labels("dropped").inc(answer.dropped_citations)
        self._timed("answer", answer.timings_ms)
        if answer.bias is not None:
            self._judged.labels(_judged(answer.bias)).inc()

    def spent(self, prompt: int, completion: int) -> None:
        """Tokens of one answer."""
        self._tokens.labels("prompt").inc(prompt)
        self._tokens.labels("completion").inc(completion)

    def looked_up(self, result: Literal["hit", "reworded", "miss"]) -> None:
        """Whether an answer was kept."""
        self._cache.labels("answers", result).inc()

    def released(self, release_id: str) -> None:
        """This release answers from now on, and no other."""
        self._release.clear()
        self._release.labels(release_id).set(1)

    def jobs(self, counts: Mapping[str, int]) -> None:
        for state, count in counts.items():
            self._jobs.labels(state).set(count)

    def watch_pool(self, name: str, stats: Callable[[], Mapping[str, int]]) -> None:
        """`stats` is psycopg_pool's get_stats."""
        self.registry.register(_Pool(name, stats))

    def watch_room(self, name: str, room: Room) -> None:
        waiting = Gauge(
            f"promptly_{name}_waiting", "Requests waiting for a place.", registry=self.registry
        )
        waiting.set_function(lambda: room.waiting)

    async def watch_event_loop(self) -> None:
        """Until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_EVERY_S
            await asyncio.sleep(LAG_EVERY_S)
            self._lag.observe(max(0.0, loop.time() - due))

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)

    def _found(self, route: str, passages: Sequence[Passage]) -> None:
        self._searches.labels(route, "found" if passages else "empty").inc()

    def _timed(self, route: str, timings_ms: Mapping[str, float]) -> None:
        for stage, ms in timings_ms.items():
            self._stages.labels(route, stage).observe(ms / 1000)


def _judged(bias: Bias) -> str:
    if bias.level is None:
        return "unjudged"
    if bias.flagged:
        return "withheld" if bias.withheld else "flagged"
    return "passed" if bias.sure else "unsure"


class _Pool(Collector):
    def __init__(self, name: str, stats: Callable[[], Mapping[str, int]]) -> None:
        self._name = name
        self._stats = stats

    def collect(self) -> Iterable[Metric]:
        stats = self._stats()
        size, idle = stats.get("pool_size", 0), stats.get("pool_available", 0)
        states = {"idle": idle, "in use": size - idle, "at most": stats.get("pool_max", 0)}
        connections = GaugeMetricFamily(
            f"promptly_{self._name}_connections", "Connections to the database.", labels=("state",)
        )
        for state, count in states.items():
            connections.add_metric((state,), count)
        yield connections
        yield GaugeMetricFamily(
            f"promptly_{self._name}_connections_awaited", "Who waits for a connection.",
            value=stats.get("requests_waiting", 0),
        )  # fmt: skip
