"""What may not leave with a model: secrets, and paths that tell whose machine it was made on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

SECRETS = {
    "a token of Hugging Face": r"hf_(?:jwt_)?[A-Za-z0-9]{30,}",
    "a token of Kaggle": r"KGAT_[A-Za-z0-9]{16,}|\"key\"\s*:\s*\"[0-9a-f]{32}\"",
    "a token of GitHub": r"gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}",
    "a key of Supabase": r"sb[p_](?:secret_)?[A-Za-z0-9_-]{30,}",
    "a key of OpenAI": r"sk-(?:proj-|ant-)?[A-Za-z0-9_-]{24,}",
    "a key of AWS": r"(?:AKIA|ASIA)[A-Z0-9]{16}",
    "a private key": r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----",
    "a signed token": r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
    "a password in an address": r"[a-z][a-z0-9+]*://[^\s/:@\"']+:[^\s/@\"'*]+@[\w.-]+",
}
_SECRET = re.compile("|".join(f"({one})" for one in SECRETS.values()))
# Of people, and of the machines that they rent.
_PATH = re.compile(
    r"(?<![\w/.:-])(?:file://)?(?:/(?:home|Users|root|tmp|var|mnt|media|private|workspace|content"
    r"|kaggle)(?:/[\w.@+=~ -]*[\w.@+=~-])+|[A-Za-z]:(?:\\{1,2}[\w.@+=~ -]*[\w.@+=~-])+)"
)


def secret(text: str) -> tuple[str, int] | None:
    """What kind stands in it first, and on which line from 1."""
    found = _SECRET.search(text)
    if found is None:
        return None
    assert found.lastindex is not None
    return list(SECRETS)[found.lastindex - 1], text.count("\n", 0, found.start()) + 1


def path(text: str) -> int | None:
    """The line, from 1, of the first path of a machine."""
    found = _PATH.search(text)
    return text.count("\n", 0, found.start()) + 1 if found else None


def without_paths(value: Any) -> Any:
    """A value of JSON in which only the last part of each such path is left."""
    if isinstance(value, str):
        return _PATH.sub(lambda found: _last(found[0]), value)
    if isinstance(value, Mapping):
        return {without_paths(key): without_paths(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(one) for one in value]
    return value


def lines_without_paths(text: str) -> str:
    """The same of JSON, or of JSON lines. Raises ValueError for neither."""
    try:
        return _dumped(without_paths(json.loads(text)), indent=2)
    except json.JSONDecodeError:
        return "".join(_rows(text))


def _rows(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if line.strip():
            yield _dumped(without_paths(json.loads(line)))


def _dumped(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent) + "\n"


def _last(path: str) -> str:
    return PurePosixPath(path.replace("\\", "/")).name
