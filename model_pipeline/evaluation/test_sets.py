"""Frozen test sets: a name, a version, and examples that never change.

The database gives the versions; what is frozen lies in a folder too, NAME/vN.jsonl with its
manifest, to be read, compared and kept beside a repository. A file that was edited is found out by
its sha256. A draft, NAME/draft.jsonl, is there to be looked through and edited before it is frozen.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from model_pipeline.errors import InvalidInput, NotFound
from model_pipeline.evaluation.examples import Example, TestSet
from model_pipeline.evaluation.rows import OWN, parse_example, read_examples

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
REFERENCE = re.compile(r"(?P<name>.+?)(?:@v?(?P<version>[1-9]\d{0,8}))?")
DRAFT = "draft"
LATEST = 0


@dataclass(frozen=True, slots=True)
class Manifest:
    """`test_set_hash` is the TestSet's content hash, `sha256` that of the file's bytes. `made`
    tells how: from what, with which options and seed."""

    name: str
    version: int
    test_set_hash: str
    sha256: str
    n: int
    made: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Frozen:
    manifest: Manifest
    test_set: TestSet


class Versions(Protocol):
    """Where versions are given and kept: the database."""

    def freeze(self, test_set: TestSet, sha256: str, made: Mapping[str, Any]) -> Manifest:
        """The newest version where its examples are the same; else the next one."""
        ...

    def get(self, name: str, version: int) -> Frozen:
        """`version` LATEST is the newest. Raises NotFound."""
        ...

    def manifests(self) -> list[Manifest]:
        """By name and version."""
        ...


class TestSets:
    """`folder` holds what was frozen here, or was asked for here."""

    __test__ = False  # pytest goes by the name

    def __init__(self, folder: Path, versions: Versions) -> None:
        self._folder = folder
        self._versions = versions

    def freeze(self, test_set: TestSet, made: Mapping[str, Any]) -> Manifest:
        require_name(test_set.name)
        manifest = self._versions.freeze(test_set, _sha256(to_jsonl(test_set.examples)), made)
        self._write(manifest, test_set.examples)
        return manifest

    def load(self, reference: str) -> Frozen:
        """Of "NAME" (its newest version) or "NAME@v2". Raises NotFound, InvalidInput for a file
        that was changed after it was frozen."""
        name, version = split_reference(reference)
        frozen = self._versions.get(name, version)
        path = self.path(frozen.manifest)
        if not path.exists():
            self._write(frozen.manifest, frozen.test_set.examples)
        elif _sha256(path.read_bytes()) != frozen.manifest.sha256:
            raise InvalidInput(
                f"{path} was changed after it was frozen: `promptly testset import "
                f"{name} {path}` makes a version of it; removed, it is written anew as it was."
            )
        return frozen

    def manifests(self) -> list[Manifest]:
        return self._versions.manifests()

    def path(self, manifest: Manifest) -> Path:
        return self._folder / manifest.name / f"v{manifest.version}.jsonl"

    def draft(self, test_set: TestSet, made: Mapping[str, Any]) -> Path:
        """Written to be edited; one that lies there is replaced."""
        require_name(test_set.name)
        path = self._folder / test_set.name / f"{DRAFT}.jsonl"
        _put(path, to_jsonl(test_set.examples))
        note = {"made": dict(made), "test_set_hash": test_set.content_hash()}
        _put(path.with_suffix(".json"), _to_json(note))
        return path

    def freeze_draft(self, name: str) -> Manifest:
        """The draft is gone afterwards. Raises NotFound where there is none."""
        require_name(name)
        path = self._folder / name / f"{DRAFT}.jsonl"
        if not path.exists():
            raise NotFound(
                f"There is no draft of {name}: make one by `promptly testset make {name} --draft`."
            )
        test_set = TestSet(name, read_examples(path, OWN))
        note = path.with_suffix(".json")
        known = json.loads(note.read_bytes()) if note.exists() else {"made": {}}
        edited = known.get("test_set_hash") != test_set.content_hash()
        manifest = self.freeze(test_set, known["made"] | {"edited": edited})
        path.unlink()
        note.unlink(missing_ok=True)
        return manifest

    def _write(self, manifest: Manifest, examples: Sequence[Example]) -> None:
        path = self.path(manifest)
        _put(path, to_jsonl(examples), mode=0o444)
        _put(path.with_suffix(".json"), _to_json(asdict(manifest)), mode=0o444)


def to_jsonl(examples: Sequence[Example]) -> bytes:
    rows = (json.dumps(one.to_row(), ensure_ascii=False, sort_keys=True) for one in examples)
    return "".join(f"{row}\n" for row in rows).encode()


def from_rows(name: str, rows: Sequence[Any]) -> TestSet:
    """Raises InvalidInput."""
    return TestSet(name, tuple(parse_example(row) for row in rows))


def require_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} cannot be a test set's name: small letters, digits, dots, hyphens and "
            "underscores, at most 64."
        )


def split_reference(reference: str) -> tuple[str, int]:
    match = REFERENCE.fullmatch(reference)
    name = match["name"] if match else reference
    require_name(name)
    return name, int(match["version"] or LATEST) if match else LATEST


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _to_json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _put(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.chmod(mode)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InvalidInput(f"{path} cannot be written: {error.strerror}.") from error
