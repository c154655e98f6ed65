"""Publishes what a fine-tune left as a version on the Hub: one commit, then its tag.

What was made from one manifest is one version, however often and wherever this is run, and whatever
died before: nothing of a version is seen before its commit, whose message names the manifest, and a
commit that lost its tag gets it by the next run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from model_pipeline.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    PromptlyError,
    Unauthorized,
    Unavailable,
)
from model_pipeline.store.versions import Kind, ModelVersion
from training import manifest
from training.hub.client import Hub, Tell, downloaded, hub_errors, require_repo, status_of
from training.hub.files import Content, VersionFiles, version_files
from training.hub.model_card import CardFacts, model_card

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

MARK = "promptly-made-from: "
TAG = re.compile(r"v([1-9][0-9]{0,8})")
KEPT = (".gitattributes",)
TRIES = 5  # to get a tag that nobody else takes meanwhile


@dataclass(frozen=True, slots=True)
class Published:
    """`fresh` is False for a version that was there already. `left_out` are files of the fine-tune
    that stayed here."""

    version: ModelVersion
    fresh: bool
    url: str
    left_out: tuple[str, ...]


def publish(
    folder: Path,
    repo: str,
    hub: Hub,
    *,
    kind: Kind,
    card: CardFacts | None = None,
    base: str | None = None,
    private: bool = True,
    tell: Tell = lambda _: None,
) -> Published:
    """`folder` is what `finetune` left, `base` the commit that it was made from where its manifest
    names none, `private` whether a new repository is. Without a license in `card` it has its
    base's. Raises InvalidInput for a folder that is not as it was left or holds what is private;
    Conflict where somebody else published meanwhile, and nothing was; Unavailable where the Hub
    does not answer: the same again goes on."""
    require_repo(repo)
    hub.require_writable(repo)
    files = version_files(folder, kind=kind, base=base)
    card = card or CardFacts()
    if card.license is None and files.base:
        card = replace(card, license=_license(hub, files.base))
    content = files.with_card(model_card(repo, files, card))
    _create(hub, repo, private=private)
    commit = find(hub, repo, files.made_from)
    fresh = commit is None
    if commit is None:
        tell(f"Uploading {len(content)} files to {repo}.")
        commit = _commit(hub, repo, files, content)
    tag = _tagged(hub, repo, commit)
    data = files.facts.get("dataset_hash")
    version = ModelVersion(
        repo=repo,
        tag=tag,
        commit=commit,
        kind=files.kind,
        base=files.base,
        made_from=files.made_from,
        dataset_hash=data if isinstance(data, str) else None,
    )
    return Published(version, fresh, f"{hub.api.endpoint}/{repo}/tree/{tag}", files.left_out)


def _license(hub: Hub, base: str) -> str | None:
    """The base's own, as its card on the Hub names it."""
    repo, _, commit = base.partition("@")
    try:
        with hub_errors(repo):
            card = hub.api.model_info(repo, revision=commit, timeout=60).card_data
    except Unavailable:
        raise
    except PromptlyError:  # it may not be seen with what is published by
        return None
    found = card.license if card else None
    return found if isinstance(found, str) else None


def _create(hub: Hub, repo: str, *, private: bool) -> None:
    try:
        with hub_errors(repo):
            hub.api.create_repo(repo, private=private, exist_ok=True)
    except Unauthorized as error:
        if not hub.keyless:
            raise
        raise NotFound(
            f"There is no {repo} on the Hub yet, and a job's identity cannot make it: make it "
            "there once, and name this workflow as its trusted publisher."
        ) from error


def find(hub: Hub, repo: str, made_from: str) -> str | None:
    """The commit that has the version, if any; its manifest is asked, since anybody may write a
    message."""
    with hub_errors(repo):
        commits = hub.api.list_repo_commits(repo)
    for one in commits:
        if f"{MARK}{made_from}" not in one.message.splitlines():
            continue
        with TemporaryDirectory() as folder:
            try:
                downloaded(hub, repo, one.commit_id, manifest.NAME, Path(folder))
                if manifest.read(Path(folder)).get("made_from") == made_from:
                    return str(one.commit_id)
            except (NotFound, InvalidInput):
                continue
    return None


def verify(hub: Hub, version: ModelVersion) -> list[str]:
    """Downloads the version and compares each file with its manifest, and the manifest with what
    was recorded: what is wrong, a sentence each."""
    with TemporaryDirectory() as place:
        folder = Path(place)
        with hub_errors(version.repo):
            listed = _listed(hub, version.repo, version.commit)
        for path in listed:
            if path not in KEPT:
                downloaded(hub, version.repo, version.commit, path, folder)
        rmtree(folder / ".cache", ignore_errors=True)  # the client's notes
        hidden = [path for path in listed if path.startswith(".cache/")]
        faults = [f"{path} is not in the manifest." for path in hidden] + manifest.verify(folder)
        if not faults and manifest.read(folder).get("made_from") != version.made_from:
            faults.append(f"Its manifest is of another version than {version.name}.")
    with hub_errors(version.repo):
        refs = hub.api.list_repo_refs(version.repo)
    tagged = {one.name: one.target_commit for one in refs.tags}.get(version.tag)
    if tagged != version.commit:
        said = f"points to {tagged[:12]}" if tagged else "is missing"
        faults.append(
            f"The tag {version.tag} on the Hub {said}; the version is {version.commit[:12]}."
        )
    return faults


def _commit(hub: Hub, repo: str, files: VersionFiles, content: Mapping[str, Content]) -> str:
    """All of the version at once, and nothing of the one before."""
    with hub_errors(repo):
        parent = hub.api.repo_info(repo, revision="main", timeout=60).sha
        assert parent is not None
        before = _listed(hub, repo, parent)
        gone = [path for path in before if path not in content and path not in KEPT]
        try:
            made = hub.api.create_commit(
                repo,
                operations=_operations(files, content, gone),
                commit_message=f"A {files.kind} fine-tuned by Promptly",
                commit_description=f"{MARK}{files.made_from}",
                parent_commit=parent,
            )
        except Exception as error:
            if status_of(error) == 412:
                raise Conflict(
                    f"Somebody else changed {repo} meanwhile, and nothing was published: run the "
                    "same again."
                ) from error
            raise
    return str(made.oid)


def _operations(
    files: VersionFiles, content: Mapping[str, Content], gone: Sequence[str]
) -> list[CommitOperationAdd | CommitOperationDelete]:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    operations: list[CommitOperationAdd | CommitOperationDelete] = []
    for path, one in sorted(content.items()):
        operation = CommitOperationAdd(path, one)
        if isinstance(one, Path) and operation.upload_info.sha256.hex() != files.hashes[path]:
            raise Conflict(
                f"{one} was changed while it was being published: nothing was published."
            )
        operations.append(operation)
    return [*operations, *(CommitOperationDelete(path) for path in gone)]


def _listed(hub: Hub, repo: str, commit: str) -> list[str]:
    found = hub.api.list_repo_tree(repo, recursive=True, revision=commit)
    return [one.path for one in found if hasattr(one, "blob_id")]  # and no folders


def _tagged(hub: Hub, repo: str, commit: str) -> str:
    """The version's tag, made where it has none: the next number. Where somebody else takes that at
    the same moment, the one after it."""
    for _ in range(TRIES):
        with hub_errors(repo):
            tags = hub.api.list_repo_refs(repo).tags
        numbered = {int(found[1]): one for one in tags if (found := TAG.fullmatch(one.name))}
        own = [number for number, one in numbered.items() if one.target_commit == commit]
        if own:
            return f"v{min(own)}"
        tag = f"v{max(numbered, default=0) + 1}"
        try:
            with hub_errors(repo):
                hub.api.create_tag(repo, tag=tag, revision=commit)
        except Conflict:
            continue
        return tag
    raise Conflict(
        f"{repo} has the version as commit {commit[:12]}, but each tag for it was taken meanwhile: "
        "run the same again, which tags it."
    )
