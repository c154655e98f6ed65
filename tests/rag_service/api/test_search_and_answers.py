"""Questions over HTTP: the agreed shapes, and one clear sentence for whatever is wrong."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

PASSAGE = {
    "chunk_id",
    "document_id",
    "source",
    "title",
    "heading_path",
    "content",
    "metadata",
    "score",
    "dense_score",
    "lexical_score",
}
CITATION = {
    "n",
    "quote",
    "chunk_id",
    "document_id",
    "source",
    "title",
    "heading_path",
    "start",
    "end",
}
BOTH = [("/v1/search", "query"), ("/v1/answers", "question")]
JSON = {"Content-Type": "application/json"}


def problem(response: Any, status: int) -> str:
    """The one sentence of a problem of this status."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert {"type", "title", "status", "detail"} <= body.keys()
    assert body["status"] == status
    assert body["request_id"] == response.headers["x-request-id"]
    detail: str = body["detail"]
    assert detail.endswith(".")
    assert "Traceback" not in detail
    return detail


def events(text: str) -> list[tuple[str, Any]]:
    found = []
    for block in text.removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_search_has_the_agreed_shape(api: TestClient) -> None:
    response = api.post("/v1/search", json={"query": "When?", "k": 3})
    body = response.json()
    assert response.status_code == 200
    assert len(body["passages"]) == 3
    assert body["passages"][0].keys() >= PASSAGE
    assert body["passages"][0]["source"] == "0.md"
    assert body["passages"][0]["lexical_score"] is None
    assert body["complete"] is True
    assert body["timings_ms"].keys() == {"embed", "search", "total"}
    assert "search;dur=1.50" in response.headers["server-timing"]


def test_an_answer_cites_what_was_verified_and_counts_the_rest(api: TestClient) -> None:
    body = api.post("/v1/answers", json={"question": "When?"}).json()
    [citation] = body["citations"]
    assert citation.keys() >= CITATION
    cited = next(one for one in body["passages"] if one["chunk_id"] == citation["chunk_id"])
    assert citation["quote"] in cited["content"]
    assert citation["end"] - citation["start"] == len(citation["quote"])
    assert body["dropped_citations"] == 1
    assert body["declined"] is False
    assert body["release_id"] == "release"
    assert body["timings_ms"]["total"] > 0


def test_a_stream_tells_the_same_answer_in_order(api: TestClient) -> None:
    body = {"question": "When?", "history": [{"role": "user", "content": "Hello"}], "stream": True}
    response = api.post("/v1/answers", json=body)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-accel-buffering"] == "no"
    found = events(response.text)
    names = [name for name, _ in found]
    assert names == ["passages", "delta", "delta", "citations", "done"]
    done = found[-1][1]
    assert "".join(data["text"] for name, data in found if name == "delta") == done["answer"]
    assert "Said before: 1" in done["answer"]
    assert done["citations"] == found[-2][1]["citations"]
    assert done["passages"] == found[0][1]["passages"]


@pytest.mark.parametrize(("path", "field"), BOTH)
@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({}, 200, ""),
        ({"": "   \x00 "}, 400, "is empty"),
        ({"": "why? " * 20_000}, 422, "should have at most 8000 characters"),
        ({"": 7}, 422, "should be a valid string"),
        ({"": "\ud800"}, 422, "has half of a surrogate pair"),
        ({"": "a\0b"}, 200, ""),
        ({"k": 0}, 422, "'k' should be greater than or equal to 1"),
        ({"k": 10**30}, 422, "'k' should be"),
        ({"kk": 1}, 422, "There is no field 'kk'"),
        ({"\ud800": 1}, 422, "A field's name has half"),
        ({"collection": ""}, 422, "'collection' should have at least 1 character"),
        ({"collection": "elsewhere"}, 404, "There is no collection"),
        ({"filter": []}, 422, "'filter' should be a valid dictionary"),
        ({"filter": {"year": {"over": 1}}}, 400, "over"),
        ({"filter": {"\ud800": "\udfff"}}, None, ""),
        ({"filter": {"year": float("nan")}}, 400, ""),
    ],
)
def test_bad_questions(
    api: TestClient, path: str, field: str, change: dict[str, Any], status: int | None, said: str
) -> None:
    body = {field: "When?"} | {name or field: value for name, value in change.items()}
    response = api.post(path, content=json.dumps(body), headers=JSON)
    if status is None:
        assert response.status_code in (200, 400, 422)
    elif status == 200:
        assert response.status_code == 200
    else:
        assert said in problem(response, status)


def test_a_missing_field_is_named_even_where_it_is_called_query(api: TestClient) -> None:
    assert "'query' is missing" in problem(api.post("/v1/search", json={"k": 1}), 422)


@pytest.mark.parametrize("path", ["/v1/search", "/v1/answers", "/v1/documents"])
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", JSON),
        (b"{", JSON),
        (b"\xff\xfe\x00", JSON),
        (b"[" * 100_000, JSON),
        (b'{"query": ' * 50_000, JSON),
        (b"[]", JSON),
        (b"null", JSON),
        (b'"text"', JSON),
        (b'{"query": "a", "filter": ' + b'{"a":' * 900 + b"1" + b"}" * 901, JSON),
        (b"query=a", {"Content-Type": "application/x-www-form-urlencoded"}),
        (b'{"query": "a"}', {"Content-Type": "text/plain"}),
        (b'{"query": "a"}', {}),
        (b"--x", {"Content-Type": "multipart/form-data; boundary=x"}),
        (b"", {"Content-Type": "multipart/form-data"}),
        (b'{"query": "a"}', {"Content-Type": "\xff/\xfe"}),
    ],
)
def test_a_body_that_is_no_question_is_a_problem(
    api: TestClient, path: str, body: bytes, headers: dict[str, str]
) -> None:
    raw = {name: value.encode("latin-1") for name, value in headers.items()}
    response = api.post(path, content=body, headers=raw)
    assert 400 <= response.status_code < 500
    problem(response, response.status_code)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = ["query", "question", "k", "mode", "collection", "filter", "history", "diversity", "text"]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    path=st.sampled_from(["/v1/search", "/v1/answers", "/v1/documents"]),
    body=ANYTHING | st.dictionaries(st.sampled_from([*NAMES, "source", "metadata"]), ANYTHING),
    question=st.booleans(),
)
def test_no_json_makes_the_service_fail(
    api: TestClient, path: str, body: Any, question: bool
) -> None:
    if question and isinstance(body, dict):
        body = {"query" if path == "/v1/search" else "question": "When?"} | body
    response = api.post(path, content=json.dumps(body), headers=JSON)
    if response.status_code != 200:
        assert response.status_code < 500
        problem(response, response.status_code)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=st.binary(max_size=200) | st.text(string.printable).map(str.encode))
def test_no_bytes_make_the_service_fail(api: TestClient, body: bytes) -> None:
    for path in ("/v1/search", "/v1/documents"):
        assert api.post(path, content=body, headers=JSON).status_code < 500


@pytest.mark.shared
def test_naughty_strings_are_questions_like_others(api: TestClient, shared_data: Path) -> None:
    texts = [
        line
        for file in sorted((shared_data / "blns").glob("*.txt"))
        for line in file.read_text("utf-8", errors="surrogateescape").split("\n")
    ]
    assert len(texts) > 500
    for text in texts:
        for path, field in BOTH:
            response = api.post(path, content=json.dumps({field: text, "k": 2}), headers=JSON)
            if response.status_code != 200:
                assert response.status_code in (400, 422), text
                problem(response, response.status_code)
