"""Tells what happens to targets (files, folders, globs) after they were discovered."""

from __future__ import annotations

import glob
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from watchfiles import Change, watch

from model_pipeline.documents.discover import glob_base, skipped
from model_pipeline.errors import ConfigurationError

QUIET_MS = 50  # without news for as long, what came together is told together
GATHER_MS = 400
IDLE_MS = 200
CHECK_S = 1.0
VANISHED_S = 1.0  # editors take a file away for a moment when they replace it

Events = Generator[set[tuple[Change, str]], None, None]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a target lies: the folder to watch, as the target spells it and as the kernel does.

    Device and inode tell when another folder or disk has come to lie under the same name.
    """

    kind: Literal["folder", "file", "glob", "gone"]
    base: Path = Path()
    real: Path = Path()
    deep: bool = False
    device: int = 0
    inode: int = 0


GONE = Place("gone")


@dataclass(slots=True)
class News:
    """Places beneath each target where something happened, spelled as the target is; targets that
    vanished, and those that came to be there, whole or anew."""

    changed: dict[str, set[Path]] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    back: list[str] = field(default_factory=list)


class Watcher:
    """Watches from the moment it is made; raises ConfigurationError where the system refuses."""

    def __init__(self, targets: Sequence[str]) -> None:
        self._paths = {target: Path(target).expanduser() for target in targets}
        self.places = {target: place(target) for target in targets}
        self._vanishing: dict[str, float] = {}
        self._check_at = time.monotonic() + CHECK_S
        self._early = News()
        self._events: list[Events] = []
        self._open()

    def wait(self) -> News:
        """What happened since the last call; waits for a moment where nothing did."""
        news, self._early = self._early, News()
        if not self._events:
            time.sleep(IDLE_MS / 1000)
        for events in self._events:
            self._sort(next(events), news)
        if time.monotonic() >= self._check_at:
            self._check(news)
            self._check_at = time.monotonic() + CHECK_S
        return news

    def _open(self) -> None:
        """Watch anew; what was watched before is listened to until then."""
        before, self._events = self._events, []
        try:
            for deep in (True, False):
                bases = {
                    one.real
                    for one in self.places.values()
                    if one.kind != "gone" and one.deep == deep
                }
                if bases:
                    events = watch(
                        *sorted(bases),
                        watch_filter=None,
                        debounce=GATHER_MS,
                        step=QUIET_MS,
                        rust_timeout=IDLE_MS,
                        yield_on_timeout=True,
                        recursive=deep,
                        ignore_permission_denied=True,
                    )
                    self._sort(next(events), self._early)
                    self._events.append(events)
        except FileNotFoundError:
            # It vanished this very moment: taken as gone, and found back by the next checks.
            self.places = {target: place(target) for target in self.places}
            self.places |= {target: GONE for target, one in self.places.items() if one.deep}
        except (OSError, RuntimeError) as error:
            raise ConfigurationError(
                f"The system does not let the paths be watched ({error}): raise its limit "
                "(fs.inotify.max_user_watches), or set WATCHFILES_FORCE_POLLING=1 to have them "
                "polled."
            ) from error
        for old in before:
            self._sort(next(old), self._early)
            old.close()

    def _sort(self, events: set[tuple[Change, str]], news: News) -> None:
        for change, name in events:
            path = Path(name)
            if change is Change.modified and path.is_dir():
                continue  # its mode or date: what happens to its files is told by itself
            for target, where in self.places.items():
                if where.kind == "gone" or not path.is_relative_to(where.real):
                    continue
                inner = path.relative_to(where.real)
                named = where.base / inner
                if where.kind == "file" and named != self._paths[target]:
                    continue
                if where.kind == "folder" and any(map(skipped, inner.parts)):
                    continue
                news.changed.setdefault(target, set()).add(named)

    def _check(self, news: News) -> None:
        """Notice targets that vanished, came back or lie elsewhere: of these no event tells."""
        moved, now = False, time.monotonic()
        for target, old in self.places.items():
            new = place(target)
            if new == old:
                self._vanishing.pop(target, None)
                continue
            if _unmounted(old, new):
                new = GONE
            if new.kind != "gone":
                news.back.append(target)
            elif old.kind == "gone" or now < self._vanishing.setdefault(target, now + VANISHED_S):
                continue
            else:
                news.gone.append(target)
            self._vanishing.pop(target, None)
            self.places[target] = new
            moved = True
        if moved:
            self._open()


def place(target: str) -> Place:
    path = Path(target).expanduser()
    kind: Literal["folder", "file", "glob"]
    try:
        if path.is_dir():
            kind, base, deep = "folder", path, True
        elif path.is_file():
            kind, base, deep = "file", path.parent, False
        elif glob.has_magic(target):
            kind, (base, deep) = "glob", glob_base(path)
        else:
            return GONE
        if not base.is_dir():
            return GONE
        status = base.stat()
        return Place(kind, base, base.resolve(), deep, status.st_dev, status.st_ino)
    except (OSError, ValueError):
        return GONE


def _unmounted(old: Place, new: Place) -> bool:
    """Whether an empty folder lies where another one lay: a mount point, or not filled yet."""
    another = (old.device, old.inode) != (new.device, new.inode)
    try:
        return new.kind == "folder" and another and not any(new.base.iterdir())
    except OSError:
        return True
