"""`manifest.json` of what a fine-tune made: each file's sha256 and size, and what it came from.
Written last, so that a folder with one is whole. Standard library alone: it runs on Kaggle.

    {"format": 1, "base_model", "base_revision", "dataset_hash", "config": {}, "versions": {},
     "git_commit", "seed", "files": {"<path>": {"sha256", "bytes"}}}
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from model_pipeline.errors import InvalidInput

NAME = "manifest.json"
FORMAT = 1
LARGEST = 4 * 2**20  # bytes
Json = dict[str, Any]


def write(folder: Path, facts: Mapping[str, Any]) -> Path:
    """Of every file in `folder` but itself; `facts` are the other keys. Whole or not at all."""
    found = {"format": FORMAT, **facts, "files": {}}
    for path in _files(folder):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        name = path.relative_to(folder).as_posix()
        found["files"][name] = {"sha256": digest, "bytes": path.stat().st_size}
    part = folder / f".{NAME}.part"
    part.write_text(json.dumps(found, indent=2, sort_keys=True, allow_nan=False) + "\n", "utf-8")
    return part.replace(folder / NAME)


def read(folder: Path) -> Json:
    """Raises InvalidInput where there is none or it is not one; the files are not looked at."""
    path = folder / NAME
    try:
        if path.stat().st_size > LARGEST:
            raise InvalidInput(f"{path} is larger than a manifest may be (4 MB).")
        found = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise InvalidInput(f"{folder} has no {NAME}: what made it did not end.") from error
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path} is not JSON.") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InvalidInput(f"{path} is no manifest of format {FORMAT}.")
    files = found.get("files")
    if not isinstance(files, dict) or not files:
        raise InvalidInput(f"{path} names no files.")
    for name, facts in files.items():
        if not _inside(name):
            raise InvalidInput(f"{path} names {name!r}, which is not a file below it.")
        right = isinstance(facts, dict) and isinstance(facts.get("sha256"), str)
        if not right or type(facts.get("bytes")) is not int:
            raise InvalidInput(f"{path} does not say the sha256 and the bytes of {name!r}.")
    return found


def verify(folder: Path, *, alone: bool = True) -> list[str]:
    """What is wrong with `folder`, a sentence each; nothing where each file is the one that was
    written, and there are no others. Unless `alone`, others may lie beside them."""
    try:
        files = read(folder)["files"]
    except InvalidInput as error:
        return [error.message]
    faults = [fault for name in sorted(files) if (fault := _fault(folder, name, files[name]))]
    found = {path.relative_to(folder).as_posix() for path in _files(folder)} if alone else set()
    return faults + [f"{name} is not in the manifest." for name in sorted(found - set(files))]


def _fault(folder: Path, name: str, facts: Json) -> str | None:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        return f"{name} is a link to outside."
    if not path.is_file():
        return f"{name} is missing."
    size = path.stat().st_size
    if size != facts["bytes"]:
        return f"{name} has {size} bytes and not {facts['bytes']}."
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return (
        None if digest == facts["sha256"] else f"{name} is not what was written: its hash differs."
    )


def _files(folder: Path) -> list[Path]:
    own = {folder / NAME, folder / f".{NAME}.part"}
    return sorted(path for path in folder.rglob("*") if path.is_file() and path not in own)


def _inside(name: str) -> bool:
    """A plain relative path: on no system does it lead out of its folder."""
    parts = PurePosixPath(name).parts
    plain = not name.startswith("/") and "\\" not in name and ":" not in name and "\0" not in name
    return bool(parts) and plain and ".." not in parts and "/".join(parts) == name
