"""What Prometheus is told, and what it is not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from uuid import uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from rag_service.api.app import create_app
from rag_service.api.metrics import Metrics
from rag_service.api.services import MetricsAccess, Services

NewServices = Callable[..., Services]


def samples(metrics: Metrics) -> dict[str, float]:
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for one in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(one.labels.items()))
            found[f"{one.name}{{{labels}}}"] = one.value
    return found


def test_answers_searches_and_their_stages_are_counted(new_services: NewServices) -> None:
    services = new_services()
    api = TestClient(create_app(services))
    for stream in (False, True):
        api.post("/v1/answers", json={"question": "When?", "stream": stream})
    api.post("/v1/search", json={"query": "When?"})
    told = samples(services.metrics)
    assert told["promptly_answers_total{result=answered}"] == 2
    assert told["promptly_citations_total{result=verified}"] == 2
    assert told["promptly_citations_total{result=dropped}"] == 2
    assert told["promptly_searches_total{result=found,route=search}"] == 1
    assert told["promptly_searches_total{result=found,route=answer}"] == 2
    assert told["promptly_http_request_seconds_count{route=/v1/answers}"] == 2
    for stage in ("embed", "search", "generate", "verify", "total"):
        assert told[f"promptly_stage_seconds_count{{route=answer,stage={stage}}}"] == 2


def test_nothing_that_is_sent_becomes_a_label(new_services: NewServices) -> None:
    services = new_services()
    api = TestClient(create_app(services))

    def ask() -> None:
        api.get(f"/v1/documents/{uuid4()}")
        api.get(f"/{uuid4()}")
        api.request(f"M{uuid4().hex[:8]}", "/v1/search")

    ask()
    once = samples(services.metrics)
    for _ in range(20):
        ask()
    many = samples(services.metrics)
    assert set(once) == set(many)
    name = "promptly_http_requests_total{method=GET,route=/v1/documents/{document_id},status=404}"
    assert (once[name], many[name]) == (1, 21)


def test_one_release_answers() -> None:
    metrics = Metrics()
    metrics.released("old")
    metrics.released("new")
    told = samples(metrics)
    assert "promptly_release{release=old}" not in told
    assert told["promptly_release{release=new}"] == 1


def test_an_event_loop_that_is_held_up_shows() -> None:
    metrics = Metrics()

    async def hold() -> None:
        watching = asyncio.create_task(metrics.watch_event_loop())
        await asyncio.sleep(0.45)
        time.sleep(0.3)  # noqa: ASYNC251 - what nobody should do
        await asyncio.sleep(0.05)
        watching.cancel()

    asyncio.run(hold())
    assert samples(metrics)["promptly_event_loop_lag_seconds_sum{}"] > 0.2


@pytest.mark.parametrize(
    ("access", "authorization", "status"),
    [
        (MetricsAccess(), "Bearer ", 404),
        (MetricsAccess(everybody=True), "", 200),
        (MetricsAccess(token="t"), "", 401),
        (MetricsAccess(token="t"), "Bearer t", 200),
        (MetricsAccess(token="t", everybody=True), "Bearer é", 401),
    ],
)
def test_who_may_read_them(
    new_services: NewServices, access: MetricsAccess, authorization: str, status: int
) -> None:
    api = TestClient(create_app(new_services(metrics_access=access)))
    headers = [(b"authorization", authorization.encode())]
    assert api.get("/metrics", headers=headers).status_code == status
