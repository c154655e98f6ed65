"""What a version is made of: of what a fine-tune left, only what is known to belong in a model's
repository, as a model's repository has it, and nothing that is private."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_pipeline.errors import InvalidInput
from model_pipeline.store.versions import Kind
from training import manifest
from training.hub import private
from training.hub.client import REPO

CARD = "README.md"
FINISHED = "finished"  # the state in a manifest, where it tells one
NAMED = re.compile(
    r"adapter_config\.json|adapter_model[\w.-]*\.safetensors|config\.json|generation_config\.json"
    r"|model[\w.-]*\.safetensors|model\.safetensors\.index\.json|tokenizer(_config)?\.json"
    r"|tokenizer\.model|special_tokens_map\.json|added_tokens\.json|vocab\.(json|txt)|merges\.txt"
    r"|chat_template\.(jinja|json)"
)
NEEDED = {
    "adapter": ("adapter_config.json", "adapter_model.safetensors"),
    "merged": ("config.json", "tokenizer_config.json"),
}
EVIDENCE = ("metrics.json", "log.jsonl")
# Words of the base model, and not of ours: a path among them tells nothing.
VOCABULARY = ("tokenizer.json", "vocab.json", "vocab.txt", "merges.txt")
# Where libraries note the place that a model was loaded from.
PLACES = ("base_model_name_or_path", "_name_or_path", "name_or_path")
PINNED = re.compile(rf"{REPO.pattern}@[0-9a-f]{{40}}")
LARGEST_TEXT = 64 * 2**20  # bytes
Json = dict[str, Any]
Content = Path | bytes


@dataclass(frozen=True, slots=True)
class VersionFiles:
    """`content` has a file's path in the repository: where it is here, or what it says. `facts` are
    the manifest's; `left_out` are files of the fine-tune that stay here."""

    kind: Kind
    base: str | None
    made_from: str
    facts: Mapping[str, Any]
    content: Mapping[str, Content]
    hashes: Mapping[str, str]
    left_out: tuple[str, ...]

    def with_card(self, card: str) -> dict[str, Content]:
        """All of it, with the card and the manifest of the version."""
        whole = dict(self.content) | {CARD: card.encode()}
        files = {path: self._described(path, one) for path, one in sorted(whole.items())}
        said = {**self.facts, "kind": self.kind, "made_from": self.made_from, "files": files}
        text = json.dumps(said, indent=2, sort_keys=True, allow_nan=False) + "\n"
        return whole | {manifest.NAME: text.encode()}

    def _described(self, path: str, one: Content) -> Json:
        if isinstance(one, bytes):
            return {"sha256": hashlib.sha256(one).hexdigest(), "bytes": len(one)}
        return {"sha256": self.hashes[path], "bytes": one.stat().st_size}


def version_files(folder: Path, *, kind: Kind, base: str | None = None) -> VersionFiles:
    """Of what a fine-tune left in `folder`. `base`, "owner/name@commit", is what it was made from,
    where its manifest names a folder. Raises InvalidInput where the manifest is not kept to, where
    something private stands in a file, and where an adapter's base is not known."""
    if faults := manifest.verify(folder):
        more = f" (and {len(faults) - 1} more)" if faults[1:] else ""
        raise InvalidInput(f"{folder} is not as the fine-tune left it: {faults[0]}{more}")
    found = manifest.read(folder)
    if found.get("state", FINISHED) != FINISHED:
        raise InvalidInput(f"{folder} is of a fine-tune that was stopped: resume it first.")
    base = _base(found, base, kind)
    content: dict[str, Content] = {}
    hashes: dict[str, str] = {}
    left_out = []
    for name in sorted(found["files"]):
        path = _place(name, kind)
        if path is None:
            left_out.append(name)
            continue
        content[path] = _checked(folder / name, path, base)
        hashes[path] = found["files"][name]["sha256"]
    for path in NEEDED[kind]:
        if path not in content:
            raise InvalidInput(f"{folder} has no {kind}/{path}: there is no {kind} to publish.")
    given = (folder / manifest.NAME).read_bytes()
    return VersionFiles(
        kind=kind,
        base=base,
        made_from=hashlib.sha256(f"{kind}\0".encode() + given).hexdigest(),
        facts=_facts(found, base),
        content=content,
        hashes=hashes,
        left_out=tuple(left_out),
    )


def _base(found: Mapping[str, Any], given: str | None, kind: Kind) -> str | None:
    named, commit = found.get("base_model"), found.get("base_revision")
    base = given or (f"{named}@{commit}" if named and commit else None)
    if base is None and kind == "merged":
        return None
    if base is None or not PINNED.fullmatch(base):
        raise InvalidInput(
            f"It was made from {named!r}, which is no commit of the Hub: say which one it is by "
            "--base owner/name@<40 hexadecimal digits>."
        )
    return base


def _place(name: str, kind: Kind) -> str | None:
    """Where a file of the fine-tune belongs in the repository; None: nowhere."""
    if name in EVIDENCE:
        return name
    folder, _, path = name.partition("/")
    return path if folder == kind and NAMED.fullmatch(path) else None


def _checked(path: Path, name: str, base: str | None) -> Content:
    """The file itself, or what is to be said in its place. Raises InvalidInput."""
    if name.endswith(".safetensors"):
        _require_public(_safetensors_head(path), name)
        return path
    if path.stat().st_size > LARGEST_TEXT:
        raise InvalidInput(f"{name} is larger than a text of a model may be (64 MB).")
    try:
        text = path.read_text(encoding="utf-8") if name != "tokenizer.model" else ""
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{name} is no text, as it should be.") from error
    said = text
    try:
        if name in EVIDENCE:
            said = private.lines_without_paths(text)
        elif name.endswith("config.json"):
            said = _with_base(text, name, base)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{name} is not JSON, as it should be.") from error
    _require_public(said, name)
    return path if said == text else said.encode()


def _with_base(text: str, name: str, base: str | None) -> str:
    """The base by its name on the Hub, whatever folder it was loaded from. Raises ValueError."""
    said = json.loads(text)
    if not isinstance(said, dict):
        raise ValueError
    before = dict(said)
    repo, _, commit = (base or "").partition("@")
    for key in PLACES:
        if key in said:
            said[key] = repo or None
    if name == "adapter_config.json":
        said["revision"] = commit
    return text if said == before else json.dumps(said, indent=2, ensure_ascii=False) + "\n"


def _require_public(text: str, name: str) -> None:
    if found := private.secret(text):
        raise InvalidInput(
            f"{name} holds {found[0]} (line {found[1]}): nothing was published. Take it out where "
            "the file is made, and change the secret."
        )
    if name not in VOCABULARY and (line := private.path(text)):
        raise InvalidInput(
            f"{name} names a path of the machine it was made on (line {line}): nothing was "
            "published. Take it out where the file is made."
        )


def _safetensors_head(path: Path) -> str:
    """What the file says of itself, before its numbers."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        head = file.read(length) if length <= LARGEST_TEXT else b""
    try:
        return json.dumps(json.loads(head).get("__metadata__", {}))
    except (ValueError, AttributeError) as error:
        raise InvalidInput(f"{path.name} is not in the format of safetensors.") from error


def _facts(found: Mapping[str, Any], base: str | None) -> Json:
    """What the manifest says, without its files and without places that are only here."""
    repo, _, commit = (base or "").partition("@")
    named: Json = {"base_model": repo or None, "base_revision": commit or None}
    said: Json = private.without_paths({k: v for k, v in found.items() if k != "files"})
    config = dict(_pairs(said.get("config", {}), named))
    whole = said | named | {"config": config}
    _require_public(json.dumps(whole), manifest.NAME)
    return whole


def _pairs(config: Any, named: Json) -> Iterator[tuple[str, Any]]:
    for key, value in (config if isinstance(config, Mapping) else {}).items():
        yield key, named.get(key, value)
