"""Every error as RFC 9457 problem+json: one clear sentence, never a traceback."""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import compile_path

from model_pipeline.errors import PromptlyError, TooManyRequests, Unavailable
from rag_service.api.schemas import Problem

MEDIA_TYPE = "application/problem+json"
SHOWN_CHARACTERS = 80
MOST_FRAMES = 30
log = structlog.get_logger()


def body(
    status: int, title: str, detail: str, request_id: str, field: str | None = None
) -> dict[str, Any]:
    problem = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": request_id,
    }
    return problem | {"field": field} if field else problem


def of(error: Exception, request_id: str) -> dict[str, Any]:
    """The problem that `error` is; one that nobody foresaw is logged, and told without details."""
    if isinstance(error, PromptlyError):
        return body(error.status, error.title, error.message, request_id, error.field)
    if isinstance(error, TimeoutError):
        detail = "The request took too long and was stopped: try again, or ask for less."
        return body(503, "Temporarily unavailable", detail, request_id)
    log.error("unexpected error", request_id=request_id, exception=where(error))
    detail = f"The service failed on this request: report it with the id {request_id}."
    return body(500, "Something went wrong", detail, request_id)


def where(error: BaseException) -> str:
    """Of an error and its causes: their kinds, and the lines of code that they came through; not
    what they say, which may quote a question or a document."""
    lines: list[str] = []
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        frames = traceback.extract_tb(following.__traceback__)[-MOST_FRAMES:]
        lines += [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
        lines.append(f"{type(following).__module__}.{type(following).__qualname__}")
        following = following.__cause__ or following.__context__
    return "\n".join(lines)


def encoded(problem: Mapping[str, Any]) -> bytes:
    """JSON in ASCII: what a client sent may come back in it, whatever it was."""
    return json.dumps(problem).encode("ascii")


def response(problem: Mapping[str, Any], error: Exception | None = None) -> Response:
    headers = {}
    if isinstance(error, Unavailable | TooManyRequests):
        headers["Retry-After"] = str(error.retry_after_s)
    elif problem["status"] == 401:
        headers["WWW-Authenticate"] = "Bearer"
    elif problem["status"] == 503:
        headers["Retry-After"] = "2"
    return Response(encoded(problem), problem["status"], headers, MEDIA_TYPE)


def documented(description: str, **example: Any) -> dict[str, Any]:
    """The problem as a documented response."""
    content = {"schema": Problem.model_json_schema(), "example": body(**example)}
    return {"description": description, "content": {MEDIA_TYPE: content}}


def install(app: FastAPI) -> None:
    async def failed(request: Request, error: Exception) -> Response:
        return response(of(error, request_id(request)), error)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        errors = error.errors()
        detail, field = sentence(errors), _place(errors[0])
        return response(body(422, "Invalid input", detail, request_id(request), field))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if isinstance(error.__cause__, PromptlyError):
            # FastAPI takes whatever happens while a body is read for a body that cannot be read.
            return await failed(request, error.__cause__)
        title = HTTPStatus(error.status_code).phrase
        detail = str(error.detail)
        # What the multipart reader says is for the user; FastAPI's and Starlette's own are not.
        if error.status_code != 400 or detail == "There was an error parsing the body":
            detail = _HTTP.get(error.status_code, detail)
        reply = response(body(error.status_code, title, detail, request_id(request)))
        reply.headers.update(error.headers or {})
        if error.status_code == 405 and (methods := _methods(request)):
            reply.headers["Allow"] = ", ".join(methods)
        return reply

    app.add_exception_handler(PromptlyError, failed)
    app.add_exception_handler(TimeoutError, failed)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)


def _methods(request: Request) -> list[str]:
    """What the address takes. Each method has a route of its own, which knows of no other."""
    paths: dict[str, dict[str, Any]] = request.app.openapi()["paths"]
    return sorted(
        method.upper()
        for path, methods in paths.items()
        if compile_path(path)[0].match(request.url.path)
        for method in methods
    )


def request_id(request: Request) -> str:
    return str(request.scope.get("state", {}).get("request_id", ""))


def sentence(errors: Sequence[Mapping[str, Any]]) -> str:
    """The first of pydantic's errors as one sentence; the others would follow once it is mended."""
    first = errors[0]
    place = _place(first)
    kind = first["type"]
    if kind == "json_invalid":
        return "The body is not JSON: send an object with the fields of the API's documentation."
    if kind == "extra_forbidden":
        return f"There is no field {_shown(place)}: remove it."
    if kind == "string_unicode":
        where = f"The field {_shown(place)}" if place else "A field's name"
        return f"{where} has half of a surrogate pair, which is no character: remove it."
    if not place:
        return (
            "The body is not a JSON object: send one, with the header "
            "'Content-Type: application/json'."
        )
    if kind == "missing":
        return f"The field {_shown(place)} is missing: add it."
    # "String should have at most 200 characters": what should is the field.
    reason = re.sub(r"^.*?(?=should )", "", str(first["msg"]))
    return f"The field {_shown(place)} {reason}."


def _place(error: Mapping[str, Any]) -> str:
    return ".".join(str(part) for part in error["loc"][1:])


def _shown(text: str) -> str:
    clean = text.encode("ascii", "backslashreplace").decode()
    return repr(clean if len(clean) <= SHOWN_CHARACTERS else clean[:SHOWN_CHARACTERS] + "...")


_HTTP = {
    404: "There is nothing at this address: see /docs for what there is.",
    405: "This address does not take this method: see /docs for what it takes.",
    415: "The body's kind is not taken: send application/json, or multipart/form-data with files.",
    400: "The request's body cannot be read: send JSON, or a multipart form with files.",
}
