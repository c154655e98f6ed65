"""Model repositories as the Hub keeps them: commits of files, branches and tags, what is large by
its sha256, and what a card's metadata may say. Content is on disk, under its sha256."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

LARGE = {".safetensors", ".bin", ".pt", ".pth", ".onnx", ".gguf", ".msgpack", ".h5", ".parquet"}
LARGE_BYTES = 10_000_000
REPO_ID = re.compile(r"[\w-][\w.-]{0,95}(/[\w-][\w.-]{0,95})?")
LICENSES = set(
    "apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m cc-by-4.0 cc-by-sa-4.0 "
    "cc-by-nc-4.0 cc0-1.0 bsd-2-clause bsd-3-clause gpl-3.0 lgpl-3.0 agpl-3.0 mpl-2.0 gemma llama2 "
    "llama3 llama3.1 llama3.2 llama3.3 qwen unlicense unknown other".split()
)
RELATIONS = {"adapter", "merge", "quantized", "finetune"}
ATTRIBUTES = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"


class Refused(Exception):
    """What the Hub answers with: a status, a sentence, and its own name of the error, if any."""

    def __init__(self, status: int, said: str, code: str | None = None, **more: Any) -> None:
        super().__init__(said)
        self.status, self.said, self.code, self.more = status, said, code, more


@dataclass(frozen=True)
class File:
    sha256: str
    size: int
    large: bool
    blob: str
    """Git's own name of it: of the content, or of the pointer to what is large."""

    @property
    def known_as(self) -> str:
        return self.sha256 if self.large else self.blob


@dataclass(frozen=True)
class Commit:
    oid: str
    parent: str | None
    files: Mapping[str, File]
    title: str
    message: str
    date: str


@dataclass
class Repo:
    name: str
    private: bool
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def at(self, revision: str) -> Commit:
        oid = self.branches.get(revision) or self.tags.get(revision) or revision
        if oid not in self.commits:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[oid]

    def history(self, revision: str) -> list[Commit]:
        """The newest first."""
        found = [self.at(revision)]
        while found[-1].parent:
            found.append(self.commits[found[-1].parent])
        return found

    def tag(self, name: str, revision: str) -> None:
        commit = self.at(revision)
        if name in self.tags:
            raise Refused(409, f"Tag reference {name} already exists")
        self.tags[name] = commit.oid

    def untag(self, name: str) -> None:
        if self.tags.pop(name, None) is None:
            raise Refused(404, f"Invalid rev id: {name}", "RevisionNotFound")


class Objects:
    """Content on disk, under its sha256."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        return self._folder / sha256

    def put(self, content: bytes) -> File:
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()  # noqa: S324 - git's
        found = File(hashlib.sha256(content).hexdigest(), len(content), large=False, blob=blob)
        self._keep(content, found.sha256)
        return found

    def take(self, chunks: Iterable[bytes]) -> Path:
        """What is uploaded, until it is verified."""
        handle, name = tempfile.mkstemp(dir=self._folder, prefix="part-")
        with os.fdopen(handle, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
        return Path(name)

    def verify(self, part: Path, sha256: str, size: int) -> None:
        with part.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if (found, part.stat().st_size) != (sha256, size):
            part.unlink()
            raise Refused(422, f"The object is not {sha256}: it is {found}")
        part.replace(self.path(sha256))

    def large(self, sha256: str) -> File:
        path = self.path(sha256)
        if not path.is_file():
            raise Refused(400, f"LFS pointer pointed to a file that does not exist: {sha256}")
        size = path.stat().st_size
        pointer = (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
        ).encode()
        return replace(self.put(pointer), sha256=sha256, size=size, large=True)

    def _keep(self, content: bytes, sha256: str) -> None:
        if not self.path(sha256).exists():
            self.take([content]).replace(self.path(sha256))


def new_repo(name: str, *, private: bool, objects: Objects) -> Repo:
    repo = Repo(name, private)
    _add(repo, {".gitattributes": objects.put(ATTRIBUTES)}, "initial commit", "")
    return repo


def is_large(path: str, size: int) -> bool:
    return PurePosixPath(path).suffix in LARGE or size > LARGE_BYTES


def commit(repo: Repo, branch: str, lines: bytes, objects: Objects) -> Commit:
    """Of the Hub's ndjson: a header, then one change a line. All of it or nothing."""
    header: dict[str, Any] = {}
    head = repo.at(branch)
    files = dict(head.files)
    for line in lines.splitlines():
        change = json.loads(line)
        kind, value = change["key"], change["value"]
        path = str(value.get("path", ""))
        if kind == "header":
            header = value
            if value.get("parentCommit") not in (None, head.oid):
                raise Refused(412, "A commit has happened since. Please refresh and try again.")
        elif kind == "file":
            files[path] = objects.put(base64.b64decode(value["content"]))
        elif kind == "lfsFile":
            files[path] = objects.large(value["oid"])
        elif kind == "deletedFile":
            if files.pop(path, None) is None:
                raise Refused(404, "A file with this name doesn't exist", "EntryNotFound")
        else:
            raise Refused(400, f"There is no change of kind {kind}")
    if "README.md" in files:
        card = objects.path(files["README.md"].sha256).read_text(encoding="utf-8")
        if errors := wrong_metadata(card):
            raise Refused(400, "; ".join(errors))
    return _add(repo, files, header["summary"], header.get("description", ""), branch)


def _add(
    repo: Repo, files: Mapping[str, File], title: str, message: str, branch: str = "main"
) -> Commit:
    parent = repo.branches.get(branch)
    date = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    said = [repo.name, parent, {path: one.blob for path, one in sorted(files.items())}, title, date]
    oid = hashlib.sha1(json.dumps(said).encode()).hexdigest()  # noqa: S324 - as git names commits
    made = Commit(oid, parent, files, title, message, date)
    repo.commits[oid] = made
    repo.branches[branch] = oid
    return made


def metadata(card: str) -> Any:
    """What stands before the text, in YAML."""
    found = re.match(r"---\r?\n(.*?)\r?\n---(\r?\n|$)", card, re.DOTALL)
    return yaml.safe_load(found[1]) if found else {}


def wrong_metadata(card: str) -> list[str]:
    """What the Hub refuses in a card's metadata, in its words."""
    try:
        given = metadata(card)
    except yaml.YAMLError as error:
        return [f"YAML metadata error: {error}"]
    return list(_wrong(given)) if isinstance(given, dict) else ["YAML metadata must be an object"]


def _wrong(metadata: Mapping[str, Any]) -> Iterable[str]:
    license = metadata.get("license", "unknown")
    if license not in LICENSES:
        yield f'"license" must be one of [{", ".join(sorted(LICENSES))}]'
    for key in ("base_model", "datasets"):
        given = metadata.get(key, [])
        for one in given if isinstance(given, list) else [given]:
            if not isinstance(one, str) or not REPO_ID.fullmatch(one):
                yield f'"{key}" with value "{one}" is not valid. Use an id from https://hf.co.'
    if metadata.get("base_model_relation", "adapter") not in RELATIONS:
        yield f'"base_model_relation" must be one of [{", ".join(sorted(RELATIONS))}]'
    tags = metadata.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(one, str) for one in tags):
        yield '"tags" must be an array of strings'
    for model in metadata.get("model-index", []):
        if not isinstance(model.get("name"), str):
            yield '"model-index[0].name" is required'
        for result in model.get("results", []):
            dataset = result.get("dataset", {})
            if not all(isinstance(dataset.get(one), str) for one in ("type", "name")):
                yield '"model-index[0].results[0].dataset" needs type and name'
            for metric in result.get("metrics", []):
                if "type" not in metric or "value" not in metric:
                    yield '"model-index[0].results[0].metrics[0]" needs type and value'
