"""A training data set as a folder: whole or not there, the same bytes for the same rows."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from model_pipeline.errors import Conflict, InvalidInput
from training import manifest
from training.data.split import SIDES, Side

CARD, PAGE = "README.md", "card.html"
KIND = "training data"


def name_of(side: Side) -> str:
    return f"{side}.jsonl"


class Folder:
    """Being written. `path` is where it lies until it is whole."""

    def __init__(self, path: Path, files: ExitStack) -> None:
        self.path = path
        self._files = {
            side: files.enter_context((path / name_of(side)).open("wb")) for side in SIDES
        }

    def add(self, side: Side, line: bytes) -> None:
        self._files[side].write(line)

    def content_hash(self) -> str:
        """sha256 (hex) over the rows: those of train.jsonl, then those of validation.jsonl."""
        for file in self._files.values():
            file.flush()
        return content_hash(self.path)

    def put(self, name: str, text: str) -> None:
        (self.path / name).write_text(text, encoding="utf-8", newline="\n")

    def finish(self, facts: Mapping[str, Any]) -> None:
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        manifest.write(self.path, {"kind": KIND, **facts})


@contextmanager
def being_written(out: Path) -> Iterator[Folder]:
    """Whole in `out` when this ends well, else nothing of it; training data that lies there is
    replaced. Raises Conflict for a folder of something else, InvalidInput where none can be
    written."""
    require_ours(out)
    _sweep(out)
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        with ExitStack() as files:
            yield Folder(part, files)
        _swap(part, out)
    except OSError as error:
        raise InvalidInput(f"{out} cannot be written: {error.strerror}.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def require_ours(out: Path) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    try:
        ours = out.is_dir() and manifest.read(out).get("kind") == KIND
    except InvalidInput:
        ours = False
    if not ours:
        raise Conflict(f"{out} holds something else than training data: name another folder.")


def content_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for side in SIDES:
        with (folder / name_of(side)).open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest()


def require_rows(folder: Path) -> None:
    """Raises InvalidInput where its rows are not those that were made; what else lies beside them
    does not matter."""
    try:
        found = content_hash(folder)
    except OSError as error:
        raise InvalidInput(f"{error.filename} cannot be read: {error.strerror}.") from error
    if found != manifest.read(folder).get("hash"):
        raise InvalidInput(f"The rows in {folder} are not those that were made: make them again.")


def _sweep(out: Path) -> None:
    """Removes what a process that was killed has left."""
    for path in out.parent.glob(f".{out.name}.*.part"):
        process = path.name.removesuffix(".part").rpartition(".")[2]
        try:
            os.kill(int(process), 0)
        except (ProcessLookupError, OverflowError):
            shutil.rmtree(path, ignore_errors=True)
        except (PermissionError, ValueError):
            continue  # somebody's that lives, or no process


def _swap(part: Path, out: Path) -> None:
    old = out.with_name(f".{out.name}.{os.getpid()}.old")
    if out.exists():
        out.rename(old)
    try:
        part.rename(out)
    except OSError:
        if old.exists():
            old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)
