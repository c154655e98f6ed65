"""What the Hub answers, step by step, as its client asks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote
from uuid import uuid4

from tests.servers import hub_repos
from tests.servers.hub_repos import Commit, File, Refused, Repo

if TYPE_CHECKING:
    from tests.servers.hub_server import Hub

# A repository's name has one part or two.
REPO = r"(?P<name>[^/]+(?:/[^/]+)?)"
REV = r"(?P<rev>[^/]+)"
USER = "tester"


@dataclass
class Reply:
    """`body` is JSON, bytes, or part of a file: its path, the first byte and how many."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


Respond = Callable[..., Reply]


def reply(body: Any = None, status: int = 200, **headers: str) -> Reply:
    return Reply(body, status, {name.replace("_", "-"): value for name, value in headers.items()})


def _token(request: Any) -> str | None:
    kind, _, token = (request.headers.get("Authorization") or "").partition(" ")
    return token if kind == "Bearer" else None


def _repo(hub: Hub, request: Any, name: str, *, write: bool = False) -> Repo:
    repo = hub.repos.get(name)
    if repo is None:
        # As the Hub does: without a token one is not told that there is none.
        raise Refused(404 if _token(request) else 401, "Repository not found", "RepoNotFound")
    hub.allow(_token(request), repo, write=write)
    return repo


def create(hub: Hub, request: Any, body: bytes) -> Reply:
    given, token = json.loads(body), _token(request)
    grant = hub.tokens.get(token or "")
    if grant is None or grant.repo:  # a job's own token creates nothing
        raise Refused(401, "Invalid username or password.")
    name = f"{given.get('organization') or USER}/{given['name']}"
    if not grant.writes:
        raise Refused(403, f"You don't have the rights to create a model under {name}")
    if name in hub.repos:
        raise Refused(409, "You already created this model repo", url=f"{hub.url}/{name}")
    hub.create(name, private=given.get("visibility") == "private")
    return reply({"url": f"{hub.url}/{name}", "name": name})


def info(hub: Hub, request: Any, body: bytes, name: str, rev: str = "main") -> Reply:
    repo = _repo(hub, request, name)
    commit = repo.at(rev)
    found: dict[str, Any] = {
        "_id": repo.name, "id": repo.name, "sha": commit.oid, "private": repo.private, "tags": [],
        "siblings": [{"rfilename": path} for path in sorted(commit.files)],
        "lastModified": commit.date,
    }  # fmt: skip
    if card := commit.files.get("README.md"):
        text = hub.objects.path(card.sha256).read_text(encoding="utf-8")
        found["cardData"] = hub_repos.metadata(text)
    return reply(found)


def validate(hub: Hub, request: Any, body: bytes) -> Reply:
    errors = [{"message": one} for one in hub_repos.wrong_metadata(json.loads(body)["content"])]
    return reply({"errors": errors, "warnings": []}, 400 if errors else 200)


def preupload(hub: Hub, request: Any, body: bytes, name: str, rev: str) -> Reply:
    held = _repo(hub, request, name, write=True).at(rev).files
    return reply({"files": [
        {
            "path": one["path"],
            "uploadMode": "lfs" if hub_repos.is_large(one["path"], one["size"]) else "regular",
            "shouldIgnore": False,
            "oid": held[one["path"]].known_as if one["path"] in held else None,
        }
        for one in json.loads(body)["files"]
    ]})  # fmt: skip


def batch(hub: Hub, request: Any, body: bytes, name: str) -> Reply:
    _repo(hub, request, name, write=True)
    objects = []
    for one in json.loads(body)["objects"]:
        found = {"oid": one["oid"], "size": one["size"]}
        if not hub.objects.path(one["oid"]).exists():
            upload = uuid4().hex
            verify = f"{hub.url}/{name}.git/info/lfs/objects/verify/{upload}"
            found["actions"] = {
                "upload": {"href": f"{hub.cdn}/_upload/{upload}"}, "verify": {"href": verify},
            }  # fmt: skip
        objects.append(found)
    return reply({"transfer": "basic", "objects": objects})


def put(hub: Hub, request: Any, body: Iterable[bytes], upload: str) -> Reply:
    if _token(request):
        raise Refused(400, "Only one auth mechanism allowed: the address is signed")
    part = hub.objects.take(body)
    with hub.turn:
        hub.parts[upload] = part
    return reply(b"")


def verify(hub: Hub, request: Any, body: bytes, name: str, upload: str) -> Reply:
    _repo(hub, request, name, write=True)
    given = json.loads(body)
    if (part := hub.parts.pop(upload, None)) is None:
        raise Refused(404, "Nothing was uploaded")
    hub.objects.verify(part, given["oid"], given["size"])
    return reply({})


def commit(hub: Hub, request: Any, body: bytes, name: str, rev: str) -> Reply:
    made = hub_repos.commit(_repo(hub, request, name, write=True), rev, body, hub.objects)
    url = f"{hub.url}/{name}/commit/{made.oid}"
    return reply({"success": True, "commitOid": made.oid, "commitUrl": url, "hookOutput": ""})


def commits(hub: Hub, request: Any, body: bytes, name: str, rev: str) -> Reply:
    return _paged(hub, request, [
        {"id": one.oid, "title": one.title, "message": one.message, "date": one.date, "authors": []}
        for one in _repo(hub, request, name).history(rev)
    ])  # fmt: skip


def refs(hub: Hub, request: Any, body: bytes, name: str) -> Reply:
    repo = _repo(hub, request, name)

    def listed(kind: str, found: dict[str, str]) -> list[dict[str, str]]:
        return [
            {"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": oid}
            for name, oid in sorted(found.items())
        ]

    branches, tags = listed("heads", repo.branches), listed("tags", repo.tags)
    return reply({"branches": branches, "converts": [], "tags": tags})


def tag(hub: Hub, request: Any, body: bytes, name: str, rev: str) -> Reply:
    _repo(hub, request, name, write=True).tag(json.loads(body)["tag"], rev)
    return reply({})


def untag(hub: Hub, request: Any, body: bytes, name: str, rev: str) -> Reply:
    _repo(hub, request, name, write=True).untag(rev)
    return reply({})


def tree(hub: Hub, request: Any, body: bytes, name: str, rev: str) -> Reply:
    def listed(path: str, one: File) -> dict[str, Any]:
        found: dict[str, Any] = {"type": "file", "path": path, "size": one.size, "oid": one.blob}
        if one.large:
            found["lfs"] = {"oid": one.sha256, "size": one.size, "pointerSize": 130}
        return found

    files = _repo(hub, request, name).at(rev).files
    return _paged(hub, request, [listed(path, one) for path, one in sorted(files.items())])


def resolve(hub: Hub, request: Any, body: bytes, name: str, rev: str, path: str) -> Reply:
    found: Commit = _repo(hub, request, name).at(rev)
    if path not in found.files:
        raise Refused(404, "Entry not found", "EntryNotFound")
    one = found.files[path]
    known = {"X_Repo_Commit": found.oid, "ETag": f'"{one.known_as}"'}
    if one.large:
        where = f"{hub.cdn}/_cdn/{one.sha256}"
        size = {"X_Linked_Size": str(one.size), "X_Linked_Etag": f'"{one.sha256}"'}
        return reply(b"", 302, Location=where, **known, **size)
    return _ranged(hub, request, one.sha256, known)


def cdn(hub: Hub, request: Any, body: bytes, sha256: str) -> Reply:
    if _token(request):
        raise Refused(400, "Only one auth mechanism allowed: the address is signed")
    return _ranged(hub, request, sha256, {"ETag": f'"{sha256}"'})


def id_token(hub: Hub, request: Any, body: bytes) -> Reply:
    if _token(request) != hub.identities.request_token:
        raise Refused(401, "Not this job's")
    return reply({"value": hub.identities.mint(request.query["audience"])})


def exchange(hub: Hub, request: Any, body: bytes) -> Reply:
    token = hub.grant(repo=hub.identities.exchange(json.loads(body)))
    return reply({"access_token": token, "token_type": "bearer", "expires_in": 3600})


def _paged(hub: Hub, request: Any, rows: list[dict[str, Any]]) -> Reply:
    first = int(request.query.get("cursor", 0))
    last = first + hub.page
    if last >= len(rows):
        return reply(rows[first:])
    path = request.path.partition("?")[0]
    return reply(rows[first:last], Link=f'<{hub.url}{path}?cursor={last}>; rel="next"')


def _ranged(hub: Hub, request: Any, sha256: str, headers: dict[str, str]) -> Reply:
    path = hub.objects.path(sha256)
    size = path.stat().st_size
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range") or "")
    if not wanted:
        return reply((path, 0, size), Accept_Ranges="bytes", **headers)
    first, last = int(wanted[1]), min(int(wanted[2] or size - 1), size - 1)
    if first >= size:
        raise Refused(416, "Range Not Satisfiable")
    said = {"Content_Range": f"bytes {first}-{last}/{size}", "Accept_Ranges": "bytes"}
    return reply((path, first, last - first + 1), 206, **said, **headers)


ROUTES: list[tuple[str, str, str, Respond]] = [
    ("POST", r"/api/repos/create", "create", create),
    ("POST", r"/api/validate-yaml", "validate", validate),
    ("POST", r"/oauth/token", "exchange", exchange),
    ("GET", r"/_github/id-token", "id_token", id_token),
    ("PUT", r"/_upload/(?P<upload>\w+)", "put", put),
    ("GET|HEAD", r"/_cdn/(?P<sha256>\w+)", "cdn", cdn),
    ("POST", rf"/{REPO}\.git/info/lfs/objects/batch", "batch", batch),
    ("POST", rf"/{REPO}\.git/info/lfs/objects/verify/(?P<upload>\w+)", "verify", verify),
    ("POST", rf"/api/models/{REPO}/preupload/{REV}", "preupload", preupload),
    ("POST", rf"/api/models/{REPO}/commit/{REV}", "commit", commit),
    ("GET", rf"/api/models/{REPO}/commits/{REV}", "commits", commits),
    ("POST", rf"/api/models/{REPO}/tag/{REV}", "tag", tag),
    ("DELETE", rf"/api/models/{REPO}/tag/{REV}", "untag", untag),
    ("GET", rf"/api/models/{REPO}/refs", "refs", refs),
    ("GET", rf"/api/models/{REPO}/tree/{REV}", "tree", tree),
    ("GET", rf"/api/models/{REPO}/revision/{REV}", "info", info),
    ("GET", rf"/api/models/{REPO}", "info", info),
    ("GET|HEAD", rf"/{REPO}/resolve/{REV}/(?P<path>.+)", "resolve", resolve),
]


def route(method: str, path: str) -> tuple[str, Respond, dict[str, str]]:
    for methods, pattern, step, respond in ROUTES:
        if method in methods.split("|") and (found := re.fullmatch(pattern, path)):
            return step, respond, {name: unquote(one) for name, one in found.groupdict().items()}
    return "unknown", _unknown, {}


def _unknown(hub: Hub, request: Any, body: bytes) -> Reply:
    raise Refused(404, f"{request.command} {request.path} is not answered here")
