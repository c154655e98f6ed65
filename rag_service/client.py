"""A typed client of the HTTP API: what the UI uses, and scripts may."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

Json = dict[str, Any]


class ServiceError(Exception):
    """The service answered with a problem; `detail` is one clear sentence."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail


class ServiceAway(Exception):
    """The service does not answer; the message says where it was looked for."""


@dataclass(frozen=True, slots=True)
class AnswerReply:
    """The shapes inside are the API's own: see its OpenAPI document."""

    answer_id: str
    answer: str
    declined: bool
    citations: list[Json]
    passages: list[Json]
    release_id: str
    timings_ms: dict[str, float] = field(default_factory=dict)
    complete: bool = True
    dropped_citations: int = 0


@dataclass(frozen=True, slots=True)
class PassagesEvent:
    passages: list[Json]
    complete: bool = True


@dataclass(frozen=True, slots=True)
class DeltaEvent:
    text: str


@dataclass(frozen=True, slots=True)
class CitationsEvent:
    citations: list[Json]


@dataclass(frozen=True, slots=True)
class DoneEvent:
    answer: AnswerReply


AnswerEvent = PassagesEvent | DeltaEvent | CitationsEvent | DoneEvent


class Client:
    """Synchronous; every call raises ServiceError or ServiceAway. Close it, or use it in `with`.

    `token` is a person's access token, or a service key; without one, the client is anybody.
    """

    def __init__(self, base_url: str, *, token: str | None = None, timeout_s: float = 60.0) -> None:
        self.base_url = base_url.rstrip("/")
        self.token = token
        # The service is named explicitly: a proxy from the environment is not for it.
        with self._errors():
            self._http = httpx.Client(base_url=self.base_url, timeout=timeout_s, trust_env=False)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def with_token(self, token: str | None) -> Client:
        """The same connections as somebody else; closing either closes both."""
        other = copy(self)
        other.token = token
        return other

    def search(
        self,
        query: str,
        *,
        k: int = 10,
        mode: str = "hybrid",
        collection: str | None = None,
        filter: Mapping[str, Any] | None = None,
    ) -> Json:
        body = {"query": query, "k": k, "mode": mode, "collection": collection, "filter": filter}
        return self._json("POST", "/v1/search", **_encoded(body))

    def ask(
        self,
        question: str,
        *,
        k: int = 5,
        collection: str | None = None,
        filter: Mapping[str, Any] | None = None,
        history: Sequence[Mapping[str, str]] = (),
    ) -> AnswerReply:
        body = _question(question, k, collection, filter, history)
        reply = self._json("POST", "/v1/answers", **_encoded(body))
        with self._expected():
            return _answer(reply)

    def ask_stream(
        self,
        question: str,
        *,
        k: int = 5,
        collection: str | None = None,
        filter: Mapping[str, Any] | None = None,
        history: Sequence[Mapping[str, str]] = (),
    ) -> Iterator[AnswerEvent]:
        """The answer as it comes; ends with a DoneEvent, or raises."""
        body = _question(question, k, collection, filter, history) | {"stream": True}
        with (
            self._errors(),
            self._expected(),
            self._http.stream("POST", "/v1/answers", **self._as(_encoded(body))) as response,
        ):
            if response.is_error:
                response.read()
                raise _problem(response)
            for name, data in _server_sent_events(response.iter_bytes()):
                event = _event(name, data)
                if event is not None:
                    yield event
                if isinstance(event, DoneEvent):
                    return
        raise ServiceAway(f"The answer of {self.base_url} broke off before its end: ask again.")

    def documents(
        self, *, collection: str | None = None, limit: int = 100, after: str | None = None
    ) -> Json:
        parameters = {"collection": collection, "limit": limit, "after": after}
        return self._json("GET", "/v1/documents", params=_given(parameters))

    def document(self, document_id: str) -> Json:
        return self._json("GET", f"/v1/documents/{quote(document_id, safe='')}")

    def delete_document(self, document_id: str) -> None:
        self._send("DELETE", f"/v1/documents/{quote(document_id, safe='')}")

    def add_text(
        self,
        text: str,
        *,
        source: str,
        title: str | None = None,
        collection: str = "default",
        metadata: Mapping[str, Any] | None = None,
    ) -> Json:
        body = {
            "text": text,
            "source": source,
            "title": title,
            "collection": collection,
            "metadata": dict(metadata or {}),
        }
        return self._json("POST", "/v1/documents", **_encoded(body))

    def upload(self, files: Sequence[tuple[str, bytes]], *, collection: str = "default") -> Json:
        # A name from a file system may hold what is no character.
        parts = [
            ("files", (name.encode("utf-8", "replace").decode(), content))
            for name, content in files
        ]
        return self._json("POST", "/v1/documents", files=parts, data={"collection": collection})

    def collections(self) -> list[str]:
        with self._expected():
            names: list[str] = self._json("GET", "/v1/collections")["collections"]
        return names

    def collection_details(self) -> list[Json]:
        """Each with its `collection_id`, `name`, `visibility`, and what you may do: `role`."""
        with self._expected():
            found: list[Json] = self._json("GET", "/v1/collections")["details"]
        return found

    def create_collection(self, name: str, *, visibility: str = "private") -> Json:
        body = {"name": name, "visibility": visibility}
        return self._json("POST", "/v1/collections", **_encoded(body))

    def change_collection(
        self, collection_id: str, *, name: str | None = None, visibility: str | None = None
    ) -> Json:
        body = {"name": name, "visibility": visibility}
        return self._json("PATCH", _collection(collection_id), **_encoded(body))

    def delete_collection(self, collection_id: str) -> None:
        """With all that is in it."""
        self._send("DELETE", _collection(collection_id))

    def members(self, collection_id: str) -> list[Json]:
        with self._expected():
            found: list[Json] = self._json("GET", f"{_collection(collection_id)}/members")[
                "members"
            ]
        return found

    def set_member(self, collection_id: str, user_id: str, role: str) -> Json:
        return self._json("PUT", _member(collection_id, user_id), **_encoded({"role": role}))

    def remove_member(self, collection_id: str, user_id: str) -> None:
        self._send("DELETE", _member(collection_id, user_id))

    def sources(
        self, *, collection: str | None = None, limit: int = 100, after: str | None = None
    ) -> Json:
        parameters = {"collection": collection, "limit": limit, "after": after}
        return self._json("GET", "/v1/sources", params=_given(parameters))

    def add_source(
        self,
        kind: str,
        settings: Mapping[str, Any],
        *,
        collection: str = "default",
        refresh_every_s: int | None = None,
    ) -> Json:
        body = {
            "kind": kind,
            "settings": dict(settings),
            "collection": collection,
            "refresh_every_s": refresh_every_s,
        }
        return self._json("POST", "/v1/sources", **_encoded(body))

    def remove_source(self, source_id: str) -> int:
        """How many documents went with it."""
        with self._expected():
            removed = self._json("DELETE", f"/v1/sources/{quote(source_id, safe='')}")
            return int(removed["documents"])

    def refresh_source(self, source_id: str) -> None:
        self._send("POST", f"/v1/sources/{quote(source_id, safe='')}/refresh")

    def jobs(
        self,
        *,
        collection: str | None = None,
        state: str | None = None,
        limit: int = 100,
        after: int = 0,
    ) -> Json:
        parameters = {"collection": collection, "state": state, "limit": limit, "after": after}
        return self._json("GET", "/v1/jobs", params=_given(parameters))

    def retry_job(self, job_id: int) -> None:
        self._send("POST", f"/v1/jobs/{int(job_id)}/retry")

    def ready(self) -> bool:
        """Whether the service can answer now; False as well where nothing listens."""
        try:
            return self._http.get("/readyz").is_success
        except httpx.HTTPError:
            return False

    def _json(self, method: str, path: str, **arguments: Any) -> Json:
        response = self._send(method, path, **arguments)
        with self._expected():
            body: Json = response.json()
        return body

    def _send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        with self._errors():
            response = self._http.request(method, path, **self._as(arguments))
        if response.is_error:
            raise _problem(response)
        return response

    def _as(self, arguments: Json) -> Json:
        """A request's arguments, with who asks."""
        if self.token is None:
            return arguments
        headers = {**arguments.get("headers", {}), "Authorization": f"Bearer {self.token}"}
        return {**arguments, "headers": headers}

    @contextmanager
    def _expected(self) -> Iterator[None]:
        """For reading a reply: one of another shape comes from some other service."""
        try:
            yield
        except (ValueError, KeyError, TypeError) as error:
            raise ServiceError(
                502,
                "Not Promptly",
                f"What answers at {self.base_url} is not Promptly: look at its address.",
            ) from error

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException as error:
            raise ServiceAway(
                f"The service at {self.base_url} did not answer in time: try again."
            ) from error
        except (httpx.ReadError, httpx.RemoteProtocolError) as error:
            raise ServiceAway(f"The service at {self.base_url} broke off: try again.") from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise ServiceAway(
                f"{self.base_url!r} is not the address of a service: give one such as "
                "http://127.0.0.1:8000."
            ) from error
        except httpx.HTTPError as error:
            raise ServiceAway(
                f"The service at {self.base_url} does not answer: start it with `make run`."
            ) from error


def _collection(collection_id: str) -> str:
    return f"/v1/collections/{quote(collection_id, safe='')}"


def _member(collection_id: str, user_id: str) -> str:
    return f"{_collection(collection_id)}/members/{quote(user_id, safe='')}"


def _given(parameters: Json) -> Json:
    return {name: value for name, value in parameters.items() if value is not None}


def _question(
    question: str,
    k: int,
    collection: str | None,
    filter: Mapping[str, Any] | None,
    history: Sequence[Mapping[str, str]],
) -> Json:
    return {
        "question": question,
        "k": k,
        "collection": collection,
        "filter": filter,
        "history": [dict(turn) for turn in history],
    }


def _answer(body: Json) -> AnswerReply:
    return AnswerReply(**{name: body[name] for name in AnswerReply.__slots__ if name in body})


def _problem(response: httpx.Response) -> ServiceError:
    try:
        body = response.json()
        return ServiceError(response.status_code, body["title"], body["detail"])
    except (ValueError, KeyError, TypeError):
        return ServiceError(
            response.status_code, response.reason_phrase, "The service gave no reason."
        )


def _encoded(body: Json) -> Json:
    """In ASCII, so that a lone surrogate reaches the service, which says what is wrong with it."""
    return {
        "content": json.dumps(body).encode("ascii"),
        "headers": {"Content-Type": "application/json"},
    }


def _server_sent_events(pieces: Iterable[bytes]) -> Iterator[tuple[str, Json]]:
    """(event, data) by the HTML standard's server-sent events, as far as the API uses them.

    Lines end at a line feed alone: httpx's own lines end at U+2028 and others as well.
    """
    rest = b""
    for piece in pieces:
        *events, rest = (rest + piece).split(b"\n\n")
        for event in events:
            fields = dict(line.partition(b": ")[::2] for line in event.split(b"\n"))
            if b"data" in fields:
                yield fields.get(b"event", b"message").decode(), json.loads(fields[b"data"])


def _event(name: str, data: Json) -> AnswerEvent | None:
    match name:
        case "passages":
            return PassagesEvent(data["passages"], data["complete"])
        case "delta":
            return DeltaEvent(data["text"])
        case "citations":
            return CitationsEvent(data["citations"])
        case "done":
            return DoneEvent(_answer(data))
        case "error":
            raise ServiceError(data["status"], data["title"], data["detail"])
        case _:
            return None
