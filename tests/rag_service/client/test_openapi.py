"""The clients are what the OpenAPI document says: every operation, each field, every default."""

from __future__ import annotations

import inspect
import json
import types
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any, get_type_hints

import pytest
from pydantic import TypeAdapter

from rag_service.api.app import create_app
from rag_service.api.services import Services
from rag_service.client import AsyncClient, Client, operations
from rag_service.client.calls import Operation

Json = dict[str, Any]
ADD_HERE = "describe it in rag_service/client/operations.py and name it in both clients"
DESCRIBED: dict[str, Operation[Any, Any]] = {
    name: one for name, one in vars(operations).items() if isinstance(one, Operation)
}
# What is a method of its own: `ask_stream` asks for the same answer in pieces.
UNSENT = json.dumps({"enum": ["unsaid"]})
LEFT_OUT = {"ask": {"stream"}}


@pytest.fixture(scope="module")
def document() -> Json:
    # Nothing is asked of the services: only what they would be asked for is looked at.
    ports = [one.name for one in fields(Services) if one.default is one.default_factory is MISSING]
    nothing: dict[str, Any] = dict.fromkeys(ports)
    services = Services(**nothing)
    found: Json = create_app(services).openapi()
    return found


def operations_of(document: Json) -> dict[tuple[str, str], Json]:
    """Those that are not OpenAI's, which have clients of their own."""
    return {
        (method.upper(), path): one
        for path, methods in document["paths"].items()
        for method, one in methods.items()
        if "openai" not in one["tags"]
    }


def test_every_operation_has_its_method(document: Json) -> None:
    described = {(one.method, one.path) for one in DESCRIBED.values()}
    served = operations_of(document).keys()
    assert served - described == set(), f"no client for these: {ADD_HERE}"
    assert described - served == set(), "the clients ask for what is not there"


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_every_description_is_a_method_of_both_clients(client: type) -> None:
    for name, described in DESCRIBED.items():
        method = getattr(client, name, None)
        assert method is not None, f"{client.__name__}.{name} is missing: {ADD_HERE}"
        if name in ("alive", "ready"):  # these answer yes or no
            assert get_type_hints(method)["return"] is bool
            continue
        first, *rest = inspect.signature(method).parameters.values()
        assert first.name == "self"
        assert rest == list(inspect.signature(described).parameters.values())
        assert method.__doc__ == described.__doc__
    assert inspect.signature(client.ask_stream) == inspect.signature(client.ask)  # type: ignore[attr-defined]


def plain(schema: Json, root: Json) -> Any:
    """What a schema lets through, without how it is told, bounded or formatted."""
    if "$ref" in schema:
        place: Any = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            place = place[part]
        return plain(place, root)
    if "anyOf" in schema:
        kinds = {json.dumps(plain(one, root), sort_keys=True) for one in schema["anyOf"]}
        return sorted(kinds) if len(kinds) > 1 else json.loads(kinds.pop())
    if "const" in schema:
        return {"enum": [schema["const"]]}
    if "enum" in schema:
        return {"enum": sorted(schema["enum"])}
    kind = schema.get("type", "any")
    if kind == "array":
        return [plain(schema.get("items", {}), root)]
    if kind == "object" and "properties" in schema:
        needed = schema.get("required", ())
        return {
            name if name in needed else f"{name}?": plain(one, root)
            for name, one in schema["properties"].items()
        }
    if kind == "object":
        values = schema.get("additionalProperties", True)
        return {"*": plain(values, root) if isinstance(values, dict) else "any"}
    return kind


@pytest.mark.parametrize("name", DESCRIBED)
def test_replies_have_the_fields_of_the_document(document: Json, name: str) -> None:
    described = DESCRIBED[name]
    found = operations_of(document)[described.method, described.path]
    good, *_ = (one for status, one in found["responses"].items() if status.startswith("2"))
    schema = good.get("content", {}).get("application/json", {}).get("schema")
    if described.reply is types.NoneType:
        assert not schema
        return
    own = TypeAdapter(described.reply).json_schema()
    assert plain(own, own) == plain(schema, document)


def parts_of(operation: Json, document: Json, *, files: bool) -> dict[str, Json]:
    """Every place of a request, by its fields: path, query, and body or form."""
    parts: dict[str, Json] = {"path": {}, "query": {}, "body": {}, "form": {}}
    for one in operation.get("parameters", ()):
        parts[one["in"]][one["name"]] = one["schema"]
    kinds = operation.get("requestBody", {}).get("content", {})
    kind = "multipart/form-data" if files else "application/json"
    if kind in kinds:
        schema = kinds[kind]["schema"]
        if "$ref" in schema:
            schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
        parts["form" if files else "body"] = dict(schema["properties"])
    return parts


class Sent:
    """What a described call sends where, found by giving each parameter a value that tells it."""

    def __init__(self, described: Operation[Any, Any]) -> None:
        function: Callable[..., Any] = inspect.unwrap(described)
        self.hints = get_type_hints(function)
        self.parameters = inspect.signature(function).parameters
        given = function(**{name: self.mark(name) for name in self.parameters})
        self.files = bool(given.files)
        self.path, self.query = dict(given.path), dict(given.query)
        self.body, self.form = dict(given.body or {}), dict(given.form)
        if self.files:
            self.form["files"] = [*given.files]

    def mark(self, name: str) -> Any:
        return {
            "history": [{"role": "user", "content": name}],
            "files": [("name", b"content")],
            "metadata": {"is": name},
            "settings": {"is": name},
        }.get(name, f"<{name}>")


@pytest.mark.parametrize("name", DESCRIBED)
def test_requests_have_the_fields_of_the_document(document: Json, name: str) -> None:
    """Each parameter goes where the document has a field of its name, type and default."""
    described = DESCRIBED[name]
    sent = Sent(described)
    operation = operations_of(document)[described.method, described.path]
    parts = parts_of(operation, document, files=sent.files)
    for place, known in parts.items():
        found: Json = getattr(sent, place)
        assert found.keys() == known.keys() - LEFT_OUT.get(name, set()), place
        for field, value in found.items():
            assert value == sent.mark(field), field
            own = TypeAdapter(sent.hints[field]).json_schema()
            shape = plain(own, own)
            if UNSENT in shape:
                shape.remove(UNSENT)
            if field not in ("files", "history"):  # bytes and mappings, where JSON has shapes
                assert shape == plain(known[field], document), field
            default = sent.parameters[field].default
            if default is operations.UNSAID:
                default = None
            if default is not inspect.Parameter.empty and field != "history":
                assert default == known[field].get("default"), field
