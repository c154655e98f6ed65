"""Targets (files, folders, globs, URLs) to readable files. One that fails stops no other."""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from model_pipeline.documents import demo
from model_pipeline.documents.found import (
    Failed,
    Found,
    ReadLimits,
    format_of,
    unknown_format,
)
from model_pipeline.documents.web import fetch, open_client

SKIPPED_FOLDERS = frozenset({"node_modules", "__pycache__", "site-packages", "venv"})


def discover(targets: Sequence[str], *, limits: ReadLimits) -> Iterator[Found | Failed]:
    """Every readable file of `targets`, in a stable order.

    In a folder, hidden files and those of other formats are passed over in silence; named one by
    one, they are failures.
    """
    for target in targets:
        if target == demo.TARGET:
            yield from demo.documents()
        elif urlsplit(target).scheme in ("http", "https"):
            with open_client(limits) as client:
                item = fetch(client, target, limits)
            # At an ingest nothing of a URL is given up: it may have been mistyped.
            yield replace(item, keeps="origin") if isinstance(item, Failed) else item
        else:
            yield from _local(target)


def discover_at(target: str, places: Collection[Path]) -> Iterator[Found | Failed]:
    """Of what `discover` finds in a folder, file or glob, the files at or beneath `places`, which
    are spelled as the target is."""
    path = Path(target).expanduser()
    origin = str(path.absolute())
    try:
        if path.is_dir():
            for place in places:
                yield from _within(path, place, origin)
        elif path.is_file():
            if path in places:
                yield _file(path, origin, root=path.parent)
        elif glob.has_magic(target):
            for item in _glob(path, origin):
                if not {Path(item.source), *Path(item.source).parents}.isdisjoint(places):
                    yield item
    except (OSError, ValueError) as error:
        yield _unopened(target, error, origin)


def skipped(name: str) -> bool:
    """Whether a folder of this name is passed over."""
    return name in SKIPPED_FOLDERS or name.startswith(".")


def glob_base(path: Path) -> tuple[Path, bool]:
    """The folder beneath which a glob's matches lie, and whether they may lie deeper than in it."""
    at = next(index for index, part in enumerate(path.parts) if glob.has_magic(part))
    return Path(*path.parts[:at]), at < len(path.parts) - 1


def _within(folder: Path, place: Path, origin: str) -> Iterator[Found | Failed]:
    """The files of `folder` at or beneath `place`, found as a walk of the whole would find them."""
    parts = place.relative_to(folder).parts
    above = [folder.joinpath(*parts[: end + 1]) for end in range(len(parts) - 1)]
    if any(skipped(one.name) or one.is_symlink() for one in above):
        return
    if not place.is_dir():
        if _read_in_folder(place, folder):
            yield _file(place, origin, root=folder)
    elif place == folder or not (skipped(place.name) or place.is_symlink()):
        yield from _folder(folder, origin, start=place)


def _local(target: str) -> Iterator[Found | Failed]:
    path = Path(target).expanduser()
    origin = str(path.absolute())
    try:
        if path.is_dir():
            yield from _folder(path, origin)
        elif path.is_file():
            yield _file(path, origin, root=path.parent)
        elif glob.has_magic(target):
            yield from _glob(path, origin)
        else:
            yield Failed(target, f"{target} does not exist.", origin)
    except (OSError, ValueError) as error:
        yield _unopened(target, error, origin)


def _unopened(target: str, error: Exception, origin: str) -> Failed:
    reason = getattr(error, "strerror", None) or str(error)
    return Failed(target, f"{target} cannot be opened: {reason}.", origin)


def _glob(path: Path, origin: str) -> Iterator[Found | Failed]:
    matches = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 - absolute ones too
    if not matches:
        yield Failed(str(path), f"{path} matches no file.", origin)
    for match in map(Path, matches):
        if match.is_file() and format_of(match.name):
            yield _file(match, origin, root=match.parent)


def _folder(folder: Path, origin: str, start: Path | None = None) -> Iterator[Found | Failed]:
    failures: list[Failed] = []

    def note(error: OSError) -> None:
        where = PurePosixPath(error.filename or folder).as_posix()
        failures.append(Failed(where, f"{where} cannot be opened: {error.strerror}.", origin))

    # Links to folders are not followed: they could lead outside, or in a circle.
    for place, folders, names in os.walk(start or folder, onerror=note, followlinks=False):
        folders[:] = sorted(name for name in folders if not skipped(name))
        for name in sorted(names):
            path = Path(place, name)
            if _read_in_folder(path, folder):
                yield _file(path, origin, root=folder)
    yield from failures


def _read_in_folder(path: Path, folder: Path) -> bool:
    """Whether a file is read that lies in a folder: links may not lead out of it."""
    if path.name.startswith(".") or not format_of(path.name):
        return False
    return not path.is_symlink() or path.resolve().is_relative_to(folder.resolve())


def _file(path: Path, origin: str, *, root: Path) -> Found | Failed:
    source = path.as_posix()
    known = format_of(path.name)
    if known is None:
        return Failed(source, unknown_format(source), origin)
    return Found(source, origin, known, path.read_bytes, path=path, root=root)
