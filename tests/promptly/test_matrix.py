"""Each caller at each route of the API, for a private and a public collection: who gets what."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.promptly.people import (
    BAD,
    COLLECTIONS,
    GOOD,
    NOWHERE,
    PEOPLE,
    WORDS,
    Service,
    answer_id,
    conversation_id,
    document_id,
    job_id,
    source_id,
)


@dataclass(frozen=True)
class Route:
    """What to send about a collection, and the status that each of GOOD gets for it."""

    path: str = ""
    private: tuple[int, ...] = (200,) * 6
    public: tuple[int, ...] = (200,) * 6
    body: dict[str, Any] | None = None
    names: str = ""
    """The field or parameter that names the collection."""
    shows: bool = False
    """Whether a good answer holds the collection's text."""
    editors: bool = False
    """The same, to its editors alone."""
    changes: bool = False
    open: bool = False
    """Whether it is for everybody, a bad token or not."""

    def request(self, collection: str) -> dict[str, Any]:
        path = self.path.format(
            name=collection,
            collection=COLLECTIONS.get(collection, (NOWHERE,))[0],
            document=document_id(collection) if collection in COLLECTIONS else NOWHERE,
            source=source_id(collection) if collection in COLLECTIONS else NOWHERE,
            job=job_id(collection) if collection in COLLECTIONS else 999,
            conversation=conversation_id(collection) if collection in COLLECTIONS else NOWHERE,
            reader=PEOPLE["reader"],
            newcomer=PEOPLE["newcomer"],
            answer=answer_id(collection) if collection in COLLECTIONS else NOWHERE,
        )
        request: dict[str, Any] = {"url": path}
        if self.body is not None:
            known = answer_id(collection) if collection in COLLECTIONS else NOWHERE
            filled = {key: str(known) if it == "{answer}" else it for key, it in self.body.items()}
            named = NAMED.get(self.names, lambda name: name)(collection)
            request["json"] = {**filled, **({self.names: named} if self.names else {})}
        elif self.names:
            request["params"] = {self.names: collection}
        return request


# How a field names a collection, where it is not by the name alone.
NAMED: dict[str, Callable[[str], Any]] = {
    "model": lambda name: f"promptly/{name}",
    "promptly": lambda name: {"collection": name},
}
SEEING = (404, 404, 200, 200, 200, 200)
OWNING = (404, 404, 403, 403, 403, 200)
OWNING_PUBLIC = (403, 403, 403, 403, 403, 200)
GONE, GONE_PUBLIC = (404, 404, 403, 403, 403, 204), (403, 403, 403, 403, 403, 204)
ASKED = {"model": "promptly", "messages": [{"role": "user", "content": "What is the kettle?"}]}
EDITING, ASKING = (403, 404, 404, 404, 200, 200), (403, 404, 404, 404, 202, 202)
# What one asked is one's own, and of the anonymous nothing is kept.
SIGNED_IN = (401, 200, 200, 200, 200, 200)
ASKER, ASKER_GONE = (401, 404, 404, 404, 404, 200), (401, 404, 404, 404, 404, 204)
ASKER_SAYS = (401, 404, 404, 404, 404, 201)
PAGE = Route(open=True)
ONE = "/v1/collections/{collection}"
ROUTES: dict[tuple[str, str], list[Route]] = {
    ("POST", "/v1/search"): [
        Route(private=SEEING, body={"query": "the kettle", "mode": mode}, names="collection",
              shows=True)
        for mode in ("hybrid", "dense", "lexical")
    ],
    ("POST", "/v1/answers"): [
        Route(private=SEEING, body={"question": "What is the kettle?", "stream": stream},
              names="collection", shows=True)
        for stream in (False, True)
    ],
    ("POST", "/v1/chat/completions"): [
        Route(private=SEEING, body={**ASKED, "stream": stream}, names=names, shows=True)
        for names in ("model", "promptly")
        for stream in (False, True)
    ],
    # Work for somebody, and no collection's.
    ("POST", "/v1/embeddings"): [
        Route(private=(401, *[200] * 5), public=(401, *[200] * 5),
              body={"model": "onnx:all-MiniLM-L6-v2", "input": "the kettle"})
    ],
    ("GET", "/v1/models"): [Route()],
    ("GET", "/v1/models/{model:path}"): [Route("/v1/models/promptly/{name}", SEEING)],
    ("GET", "/v1/history"): [Route(private=SIGNED_IN, public=SIGNED_IN)],
    ("GET", "/v1/history/{conversation_id}"): [
        Route("/v1/history/{conversation}", ASKER, ASKER)
    ],
    ("DELETE", "/v1/history/{conversation_id}"): [
        Route("/v1/history/{conversation}", ASKER_GONE, ASKER_GONE, changes=True)
    ],
    ("POST", "/v1/feedback"): [
        Route(private=ASKER, public=ASKER, body={"answer_id": "{answer}", "rating": "up"},
              changes=True)
    ],
    ("DELETE", "/v1/feedback/{answer_id}"): [
        Route("/v1/feedback/{answer}", ASKER_GONE, ASKER_GONE, changes=True)
    ],
    ("GET", "/v1/answers/{answer_id}/verdicts"): [
        Route("/v1/answers/{answer}/verdicts", ASKER, ASKER)
    ],
    ("POST", "/v1/answers/{answer_id}/reviews"): [
        Route("/v1/answers/{answer}/reviews", ASKER_SAYS, ASKER_SAYS, {"level": 5}, changes=True)
    ],
    ("GET", "/v1/documents"): [Route(names="collection")],
    # A name is an owner's own: who may not write to that collection gets one of theirs.
    ("POST", "/v1/documents"): [
        Route(private=(403, 200, 200, 403, 200, 200), public=(403, 200, 200, 403, 200, 200),
              body={"text": "A cup.", "source": "cup"}, names="collection", changes=True)
    ],
    ("GET", "/v1/documents/{document_id}"): [
        Route("/v1/documents/{document}", SEEING, shows=True)
    ],
    ("DELETE", "/v1/documents/{document_id}"): [
        Route("/v1/documents/{document}", (404, 404, 403, 403, 204, 204),
              (403, 403, 403, 403, 204, 204), changes=True)
    ],
    ("GET", "/v1/collections"): [Route()],
    ("POST", "/v1/collections"): [
        Route(private=(403, 201, 201, 403, 201, 409), public=(403, 201, 201, 403, 201, 409),
              body={}, names="name", changes=True)
    ],
    ("PATCH", "/v1/collections/{collection_id}"): [
        Route(ONE, OWNING, OWNING_PUBLIC, {"name": "n", "visibility": "private"}, changes=True)
    ],
    ("DELETE", "/v1/collections/{collection_id}"): [Route(ONE, GONE, GONE_PUBLIC, changes=True)],
    ("GET", "/v1/collections/{collection_id}/members"): [
        Route(f"{ONE}/members", OWNING, OWNING_PUBLIC)
    ],
    ("PUT", "/v1/collections/{collection_id}/members/{user_id}"): [
        Route(f"{ONE}/members/{{newcomer}}", OWNING, OWNING_PUBLIC, {"role": "owner"},
              changes=True)
    ],
    ("DELETE", "/v1/collections/{collection_id}/members/{user_id}"): [
        Route(f"{ONE}/members/{{reader}}", GONE, GONE_PUBLIC, changes=True)
    ],
    # Editors keep a collection up to date; to others it does not say how.
    ("GET", "/v1/sources"): [Route(names="collection", editors=True)],
    ("POST", "/v1/sources"): [
        Route(private=(403, 201, 201, 403, 201, 201), public=(403, 201, 201, 403, 201, 201),
              body={"kind": "web", "settings": {"urls": ["https://new.example/"]}},
              names="collection", changes=True)
    ],
    ("DELETE", "/v1/sources/{source_id}"): [
        Route("/v1/sources/{source}", EDITING, EDITING, changes=True)
    ],
    ("POST", "/v1/sources/{source_id}/refresh"): [
        Route("/v1/sources/{source}/refresh", ASKING, ASKING, changes=True)
    ],
    ("GET", "/v1/jobs"): [Route(names="collection", editors=True)],
    ("POST", "/v1/jobs/{job_id}/retry"): [
        Route("/v1/jobs/{job}/retry", ASKING, ASKING, changes=True)
    ],
    ("GET", "/healthz"): [PAGE],
    ("GET", "/readyz"): [PAGE],
    # Nobody's token of these opens it; PROMPTLY_METRICS_TOKEN does.
    ("GET", "/metrics"): [Route(private=(401,) * 6, public=(401,) * 6)],
    ("GET", "/openapi.json"): [PAGE],
    ("GET", "/docs"): [PAGE],
    ("GET", "/docs/oauth2-redirect"): [PAGE],
    ("GET", "/redoc"): [PAGE],
}  # fmt: skip
CELLS = [
    pytest.param(method, path, route, id=f"{method} {path} {number}")
    for (method, path), routes in ROUTES.items()
    for number, route in enumerate(routes)
]


def served(routes: Any) -> Iterator[tuple[str, str]]:
    """Every method and path; a kind of route that is not known here fails."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from served(inner.routes)
        else:
            yield from ((method, route.path) for method in route.methods - {"HEAD"})


def test_every_route_has_its_row(service: Service) -> None:
    assert sorted(served(service.app.routes)) == sorted(ROUTES)


def comparable(reply: httpx.Response, *ids: object) -> tuple[int, str]:
    """A reply without what differs by nature: ids that were sent, and the request's own."""
    text = reply.text
    for one in ids:
        text = text.replace(str(one), "?")
    body = json.loads(text)
    return reply.status_code, json.dumps({**body, "request_id": ""})


@pytest.mark.parametrize("collection", ["private", "public"])
@pytest.mark.parametrize(("method", "path", "route"), CELLS)
def test_who_gets_what(
    service: Service, method: str, path: str, route: Route, collection: str
) -> None:
    if not route.path:
        route = replace(route, path=path)
    identity, _, readers, word = COLLECTIONS[collection]
    statuses = dict(zip(GOOD, getattr(route, collection), strict=True))
    for who in GOOD:
        reply = service.ask(who, method, **route.request(collection))
        assert reply.status_code == statuses[who], (who, reply.text)
        told = reply.text + str(reply.headers)
        for name, (_, _, allowed, secret) in COLLECTIONS.items():
            assert who in allowed or secret not in told, (who, name)
        if route.shows:
            assert (word in told) == (who in readers), (who, reply.text)
        if route.editors:
            assert (word in told) == (who in ("editor", "owner")), (who, reply.text)
        if reply.status_code == 404:
            named = route.names or "{name}" in route.path
            asked = json.dumps(route.request("nowhere" if named else collection))
            known = (
                identity, document_id(collection), source_id(collection),
                conversation_id(collection), answer_id(collection),
            )  # fmt: skip
            for one in known:
                asked = asked.replace(str(one), str(NOWHERE))
            asked = asked.replace(str(job_id(collection)), "999")
            missing = service.ask(who, method, **json.loads(asked))
            ids = (*known, NOWHERE, job_id(collection), 999, f"{collection}'", "nowhere'")
            assert comparable(reply, *ids) == comparable(missing, *ids), who
        if route.changes and reply.is_success:
            service.reset()


@pytest.mark.parametrize("who", BAD)
def test_a_bad_token_opens_nothing(service: Service, who: str) -> None:
    for (method, path), routes in ROUTES.items():
        route = replace(routes[0], path=routes[0].path or path)
        reply = service.ask(who, method, **route.request("public"))
        if route.open:
            assert reply.status_code == 200, path
        else:
            assert reply.status_code == 401, (path, reply.text)
            assert reply.headers["www-authenticate"] == "Bearer"
            assert not any(word in reply.text for word in WORDS.values())


def test_nothing_was_changed_by_any_of_it(service: Service) -> None:
    """After all cells above: what is there is what `reset` put there."""
    listed = service.ask("owner", "GET", "/v1/documents").json()
    assert sorted(one["source"] for one in listed["documents"]) == [
        "private/kettle",
        "public/kettle",
    ]


def test_a_shared_collection_cannot_be_taken_or_traced(service: Service) -> None:
    """By another owner of it: who made it stays, and so does what else they have called so."""
    public = f"/v1/collections/{COLLECTIONS['public'][0]}"

    def ask(who: str, method: str, url: str, **body: object) -> httpx.Response:
        return service.ask(who, method, url, **({"json": body} if body else {}))

    try:
        other, maker = PEOPLE["other"], PEOPLE["owner"]
        for role in ("reader", "owner"):
            made = ask("owner", "PUT", f"{public}/members/{other}", role=role)
            assert (made.status_code, made.json()["role"]) == (200, role)
        members = ask("other", "GET", f"{public}/members").json()["members"]
        assert members[0]["user_id"] == str(maker)
        assert (members[-1]["user_id"], members[-1]["role"]) == (str(other), "owner")
        for method, body in (("DELETE", {}), ("PUT", {"role": "reader"})):
            assert ask("other", method, f"{public}/members/{maker}", **body).status_code == 409
        # 'private' is a name that its maker has and 'freely' is none: the same to another owner.
        replies = [ask("other", "PATCH", public, name=name) for name in ("private", "freely")]
        assert comparable(replies[0]) == comparable(replies[1])
        assert replies[0].status_code == 403
        assert ask("owner", "PATCH", public, name="private").status_code == 409
        assert ask("other", "PATCH", public, visibility="private").json()["role"] == "owner"
        key = ask("owner", "PUT", f"{public}/members/{PEOPLE['key']}", role="owner")
        assert (key.status_code, "service key" in key.json()["detail"]) == (403, True)
        assert ask("owner", "DELETE", f"{public}/members/{uuid4()}").status_code == 404
    finally:
        service.reset()
