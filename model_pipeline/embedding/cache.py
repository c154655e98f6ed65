"""Files that are made once and kept: there whole with their sum, or not at all."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def intact(path: Path) -> bool:
    """Whether `path` is what was made."""
    try:
        expected = _sum_file(path).read_text(encoding="ascii")
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == expected
    except (OSError, UnicodeDecodeError):
        return False


@contextmanager
def making(path: Path) -> Iterator[Path]:
    """Where to write what shall stand at `path`: beside it, and renamed at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=path.parent, prefix=".making-"))
    try:
        made = work / path.name
        yield made
        with made.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        (work / "sum").write_text(digest, encoding="ascii")
        made.replace(path)
        (work / "sum").replace(_sum_file(path))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _sum_file(path: Path) -> Path:
    return path.with_suffix(".sha256")
