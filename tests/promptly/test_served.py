"""The API as a process: deadlines, clients that leave, a database that goes away, its end."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from model_pipeline.errors import ConfigurationError
from promptly.traces import tracing
from tests.promptly.served import Served, served
from tests.servers import collector, relay
from tests.servers.collector import Span

DEADLINE_S = 3.0
SECRETS = ("pomegranate", "quincunx", "rhododendron")
IN, ASKED, SENT = SECRETS


@pytest.fixture(scope="module")
def home(embedder_cache: Path, embedder: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the embedder that the other tests have made."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "cache").symlink_to(embedder_cache)
    return folder


@pytest.fixture(scope="module")
def api(module_database: str, home: Path) -> Iterator[Served]:
    with served(module_database, home, PROMPTLY_REQUEST_TIMEOUT_S=DEADLINE_S) as one:
        text = f"# Shop\n\nThe {IN} costs four euros in the shop. It is sold on Mondays.\n"
        put = httpx.post(f"{one.address}/v1/documents", json={"text": text, "source": "shop.md"})
        assert put.json()["new"] == 1
        yield one


@contextmanager
def locked(database: str, table: str) -> Iterator[None]:
    """Whoever reads `table` waits."""
    with psycopg.connect(database) as connection:
        connection.execute(f"lock table {table} in access exclusive mode")
        yield


def under_way(database: str) -> list[str]:
    """The statements of the service that the server works on, or that wait in it."""
    with psycopg.connect(database, autocommit=True) as connection:
        rows = connection.execute(
            "select query from pg_stat_activity where datname = current_database() "
            "and application_name = 'promptly' and state <> 'idle'"
        )
        return [query for (query,) in rows]


def until(seconds: float, condition: Any) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("path", ["/v1/search", "/v1/answers", "/v1/documents"])
def test_a_deadline_ends_the_statement_at_the_server(
    api: Served, module_database: str, path: str
) -> None:
    body = {"/v1/search": {"query": "shop"}, "/v1/answers": {"question": "shop?"}}.get(path)
    started = time.monotonic()
    with locked(module_database, "chunks, documents"):
        method = "POST" if body else "GET"
        reply = httpx.request(method, f"{api.address}{path}", json=body, timeout=30)
        assert (reply.status_code, reply.json()["title"]) == (503, "Temporarily unavailable")
        assert DEADLINE_S <= time.monotonic() - started < DEADLINE_S + 2
        until(1, lambda: not under_way(module_database))
    assert api.search("shop").status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_ends_the_statement_at_the_server(
    api: Served, module_database: str, stream: bool
) -> None:
    body = {"question": "What is in the shop?", "stream": stream}
    with locked(module_database, "chunks, documents"):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{api.address}/v1/answers", json=body, timeout=0.6)
        until(DEADLINE_S / 3, lambda: not under_way(module_database))  # and not by the deadline
    assert api.search("shop").status_code == 200
    assert "499" in api.log.read_text()


def test_a_database_that_is_away_is_told_at_once_and_found_when_it_is_back(
    module_database: str, home: Path
) -> None:
    with relay.running(module_database) as (way, conninfo), served(conninfo, home) as api:
        assert api.search("shop").status_code == 200
        way.cut()
        for path in ("/v1/search", "/v1/documents", "/readyz"):
            for _ in range(3):
                started = time.monotonic()
                reply = api.search("shop") if path == "/v1/search" else api.get(path)
                assert reply.status_code == 503
                assert time.monotonic() - started < 2.0, path  # 0.8 s on a machine at rest
        assert api.get("/healthz").status_code == 200
        time.sleep(3)  # a while without anybody asking
        way.mend()
        until(3, lambda: api.search("shop").status_code == 200)
        assert api.get("/readyz").status_code == api.get("/v1/documents").status_code == 200

        way.cut()
        mended = threading.Timer(0.3, way.mend)
        mended.start()
        assert api.search("shop").status_code == 200  # a blink
        mended.join()


def test_what_is_under_way_is_finished_and_nobody_more_is_let_in(
    module_database: str, home: Path
) -> None:
    with served(module_database, home, PROMPTLY_DRAIN_NOTICE_S=1) as api:
        replies: list[httpx.Response] = []
        asking = threading.Thread(
            target=lambda: replies.append(api.ask("What is in the shop?", stream=True))
        )
        with locked(module_database, "chunks"):
            asking.start()
            until(5, lambda: under_way(module_database))
            api.process.send_signal(signal.SIGTERM)
            until(0.9, lambda: api.get("/readyz").status_code == 503)
            assert api.get("/healthz").status_code == 200  # still served: not all know yet
            until(5, lambda: _is_refused(api))
            assert api.process.poll() is None
        asking.join(10)
        assert replies[0].text.count("event: done") == 1
        assert api.process.wait(5) == 0
    assert not under_way(module_database)


def test_an_end_is_not_put_off_for_ever(module_database: str, home: Path) -> None:
    with served(module_database, home, PROMPTLY_DRAIN_S=0.5) as api:
        failed: list[bool] = []

        def ask() -> None:
            try:
                failed.append(api.ask("shop?").is_server_error)
            except httpx.HTTPError:
                failed.append(True)

        asking = threading.Thread(target=ask)
        with locked(module_database, "chunks"):
            asking.start()
            until(5, lambda: under_way(module_database))
            started = time.monotonic()
            api.process.send_signal(signal.SIGTERM)
            assert api.process.wait(10) == 0
            assert time.monotonic() - started < 5
            until(1, lambda: not under_way(module_database))
        asking.join(10)
        assert failed == [True]
        assert "exception" not in api.log.read_text()


def _is_refused(api: Served) -> bool:
    try:
        return api.get("/healthz").status_code == 503
    except httpx.ConnectError:
        return True


def test_the_log_has_a_line_for_each_request_and_nobodys_words(
    api: Served, module_database: str
) -> None:
    token = f"promptly_{'0' * 32}_{SENT * 4}"
    asked = [
        api.ask(f"What does the {IN} cost, {ASKED}?"),
        api.ask(f"What does the {IN} cost, {ASKED}?", stream=True),
        api.search(f"{ASKED} {SENT}"),
        api.get(f"/v1/{ASKED}"),
        api.get(f"/v1/documents?collection={ASKED}"),
        httpx.post(f"{api.address}/v1/search", json={"query": ASKED, SENT: SENT}),
        httpx.post(f"{api.address}/v1/search", content=f'{{"query": "{ASKED}'.encode()),
        httpx.post(
            f"{api.address}/v1/search", json={"query": ASKED, "filter": {SENT: {SENT: 1}}}
        ),
        api.get("/v1/documents", Authorization=f"Bearer {token}"),
    ]  # fmt: skip
    assert IN in asked[0].text  # the words did pass through it
    # What nobody foresaw: an error whose message quotes what was asked.
    with psycopg.connect(module_database, autocommit=True) as connection:
        connection.execute("alter table collections rename column name to another")
        try:
            asked += [api.get(f"/v1/documents?collection={ASKED}"), api.search(ASKED)]
        finally:
            connection.execute("alter table collections rename column another to name")
    assert asked[-2].status_code == 500
    text = api.log.read_text()
    for word in SECRETS:
        assert word not in text
    lines = [json.loads(line) for line in text.splitlines()]
    told = {line["request_id"]: line for line in lines if line["event"] == "request"}
    for reply in asked:
        line = told[reply.headers["x-request-id"]]
        assert line["status"] == reply.status_code
        assert line["ms"] > 0
        assert line["level"] == "info"
        assert line["timestamp"].endswith("Z")
    assert told[asked[0].headers["x-request-id"]]["route"] == "/v1/answers"
    assert told[asked[3].headers["x-request-id"]]["route"] == "other"


def test_metrics_are_open_on_a_machine_of_ones_own(api: Served) -> None:
    api.ask("What is sold on Mondays?")
    api.ask("Who won the war of 1812?")
    reply = api.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain")
    assert (
        'promptly_http_requests_total{method="POST",route="/v1/answers",status="200"}' in reply.text
    )
    for name in (
        'promptly_stage_seconds_count{route="answer",stage="generate"}',
        'promptly_answers_total{result="declined"}',
        'promptly_citations_total{result="verified"}',
        'promptly_release{release="extractive-',
        'promptly_jobs{state="waiting"}',
        'promptly_search_connections{state="in use"}',
        "promptly_event_loop_lag_seconds_count",
        "promptly_short_waiting",
        "process_resident_memory_bytes",
    ):
        assert name in reply.text, name
    for word in SECRETS:
        assert word not in reply.text


def test_metrics_are_for_the_token_and_otherwise_not_there(
    module_database: str, home: Path
) -> None:
    accounts = {"PROMPTLY_ACCOUNTS": "true"}
    with served(module_database, home, **accounts) as api:
        missing, nothing = api.get("/metrics"), api.get("/v1/nothing")
        assert missing.status_code == 404
        assert missing.json()["detail"] == nothing.json()["detail"]
    with served(module_database, home, PROMPTLY_METRICS_TOKEN="t" * 32, **accounts) as api:
        assert api.get("/metrics").status_code == 401
        for wrong in ("t" * 32, "Bearer", f"Bearer {'t' * 31}", f"Bearer {'t' * 33}"):
            assert api.get("/metrics", Authorization=wrong).status_code == 401
        right = api.get("/metrics", Authorization=f"Bearer {'t' * 32}")
        assert "promptly_jobs" in right.text
        assert api.search("shop").headers["ratelimit-policy"] == '"caller";q=600;w=60'


def test_a_trace_goes_through_the_service_and_carries_no_text(
    api: Served, module_database: str, home: Path
) -> None:
    trace_id, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    headers = {"traceparent": f"00-{trace_id}-{parent}-01"}
    with collector.running() as told:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": told.url}
        with served(module_database, home, **settings) as traced:
            for k, stream in ((5, False), (4, True), (5, True)):  # the last is given again
                body = {"question": f"What does the {IN} cost, {ASKED}?", "stream": stream, "k": k}
                reply = httpx.post(f"{traced.address}/v1/answers", json=body, headers=headers)
                assert IN in reply.text
            for query in ({"query": ASKED}, {"query": ASKED, "collection": SENT}):
                httpx.post(f"{traced.address}/v1/search", json=query)
            log = traced.log.read_text()
        spans = told.spans  # the last are sent when it ends
    assert f'"trace_id": "{trace_id}"' in log
    mine = [one for one in spans if one.trace_id == trace_id]
    requests = [one for one in mine if one.parent_id == parent]
    assert [one.name for one in requests] == ["POST /v1/answers"] * 3
    assert {one.parent_id for one in mine} <= {one.span_id for one in mine} | {parent}

    def within(span: Span) -> dict[str, Span]:
        return {one.name: one for one in mine if one.parent_id == span.span_id}

    for number, request in enumerate(requests):
        stages = within(request)
        anew = ["generate", "retrieve", "verify"] if number < 2 else []
        assert sorted(stages) == ["cache", *anew]
        assert sorted(within(stages["cache"])) == (["embed", "scope"] if anew else ["scope"])
        statements = [within(stages["cache"])["scope"], *(stages[one] for one in anew[1:2])]
        for one in statements:
            assert one.attributes == {"db.system.name": "postgresql"}
        assert 0 < sum(one.took_ns for one in stages.values()) <= request.took_ns
    failed = [one for one in spans if one.failed]
    assert [(one.name, one.attributes["error.type"]) for one in failed] == [
        ("retrieve", "NotFound")
    ]
    for one in spans:
        assert not any(word in one.text for word in SECRETS), one.name


def test_an_address_for_traces_that_is_none_is_refused() -> None:
    refused = pytest.raises(ConfigurationError, match="OTEL_EXPORTER_OTLP_ENDPOINT")
    with refused, tracing("localhost:4318"):
        pass
