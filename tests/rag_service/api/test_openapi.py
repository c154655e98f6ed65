"""The OpenAPI document says for every operation what it does, takes, gives, and how it fails."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from starlette.testclient import TestClient

METHODS = {"get", "post", "put", "patch", "delete"}
ASKED = {"role": "user", "content": "What is a default?"}
EXPECTED = {
    ("post", "/v1/search"),
    ("post", "/v1/answers"),
    ("get", "/v1/history"),
    ("get", "/v1/history/{conversation_id}"),
    ("delete", "/v1/history/{conversation_id}"),
    ("post", "/v1/feedback"),
    ("delete", "/v1/feedback/{answer_id}"),
    ("get", "/v1/answers/{answer_id}/verdicts"),
    ("post", "/v1/answers/{answer_id}/reviews"),
    ("get", "/v1/documents"),
    ("post", "/v1/documents"),
    ("get", "/v1/documents/{document_id}"),
    ("delete", "/v1/documents/{document_id}"),
    ("get", "/v1/collections"),
    ("post", "/v1/collections"),
    ("patch", "/v1/collections/{collection_id}"),
    ("delete", "/v1/collections/{collection_id}"),
    ("get", "/v1/collections/{collection_id}/members"),
    ("put", "/v1/collections/{collection_id}/members/{user_id}"),
    ("delete", "/v1/collections/{collection_id}/members/{user_id}"),
    ("get", "/v1/sources"),
    ("post", "/v1/sources"),
    ("delete", "/v1/sources/{source_id}"),
    ("post", "/v1/sources/{source_id}/refresh"),
    ("get", "/v1/jobs"),
    ("post", "/v1/jobs/{job_id}/retry"),
    ("post", "/v1/chat/completions"),
    ("post", "/v1/embeddings"),
    ("get", "/v1/models"),
    ("get", "/v1/models/{model}"),
    ("get", "/healthz"),
    ("get", "/readyz"),
}


@pytest.fixture
def document(api: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = api.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method, path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    }


def resolved(node: Any, document: dict[str, Any]) -> Any:
    """`node` with every $ref replaced by what it names."""
    if isinstance(node, list):
        return [resolved(one, document) for one in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        name = node["$ref"].removeprefix("#/components/schemas/")
        return resolved(document["components"]["schemas"][name], document)
    return {key: resolved(value, document) for key, value in node.items()}


def test_the_operations_are_the_agreed_ones(document: dict[str, Any]) -> None:
    assert operations(document).keys() == EXPECTED


def test_every_operation_is_documented(document: dict[str, Any]) -> None:
    for name, operation in operations(document).items():
        assert operation["summary"], name
        assert operation["description"], name
        assert operation["tags"], name
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), (name, parameter["name"])
        own = {key: operation.get(key) for key in ("requestBody", "parameters")}
        good = {code: one for code, one in operation["responses"].items() if code.startswith("2")}
        assert good, name
        assert '"example' in json.dumps(resolved([own, good], document)), name


def test_every_operation_tells_its_problems(document: dict[str, Any]) -> None:
    for name, operation in resolved(operations(document), document).items():
        bad = {code: one for code, one in operation["responses"].items() if code[0] != "2"}
        assert bad.keys() >= {"4XX", "503"}, name
        for response in bad.values():
            [(kind, content)] = response["content"].items()
            known = content["schema"]["properties"].keys()
            if "openai" in operation["tags"]:
                assert kind == "application/json", name
                assert known == {"error"}
                assert content["example"]["error"]["message"].endswith(".")
            else:
                assert kind == "application/problem+json", name
                assert {"title", "status", "detail"} <= known
                assert content["example"]["detail"].endswith(".")


def test_every_body_is_documented_with_its_fields(document: dict[str, Any]) -> None:
    found = resolved(operations(document), document)
    for path, field in (("/v1/search", "query"), ("/v1/answers", "question")):
        schema = found["post", path]["requestBody"]["content"]["application/json"]["schema"]
        assert schema["additionalProperties"] is False
        assert schema["properties"][field]["examples"]
    kinds = found["post", "/v1/documents"]["requestBody"]["content"]
    assert kinds.keys() == {"application/json", "multipart/form-data"}
    stream = found["post", "/v1/answers"]["responses"]["200"]["content"]
    assert stream.keys() == {"application/json", "text/event-stream"}
    for event in ("passages", "delta", "citations", "done", "error"):
        assert f"`{event}`" in found["post", "/v1/answers"]["description"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/answers", {"question": "What is a default?"}),
        ("/v1/chat/completions", {"model": "promptly", "messages": [ASKED]}),
    ],
)
def test_each_event_of_a_stream_is_as_documented(
    api: TestClient, document: dict[str, Any], path: str, body: dict[str, Any]
) -> None:
    responses = operations(document)["post", path]["responses"]
    documented = responses["200"]["content"]["text/event-stream"]
    assert documented["schema"]["properties"].keys() >= {"data"}
    text = api.post(path, json={**body, "stream": True}).text
    lines = [event.split("\n") for event in text.strip().split("\n\n")]
    events = [dict(line.split(": ", 1) for line in event) for event in lines]
    assert len(events) > 2
    for event in (*events, documented["example"]):
        jsonschema.validate(event, documented["schema"])


def test_the_documented_example_of_a_question_is_answered(
    api: TestClient, document: dict[str, Any]
) -> None:
    found = resolved(operations(document), document)
    for path in ("/v1/search", "/v1/answers", "/v1/documents", "/v1/chat/completions"):
        schema = found["post", path]["requestBody"]["content"]["application/json"]["schema"]
        body = {
            name: field["examples"][0]
            for name, field in schema["properties"].items()
            if "examples" in field
        }
        assert api.post(path, json=body).status_code == 200
